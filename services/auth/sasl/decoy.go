package sasl

// Decoys makes credentials for users that have none.
type Decoys struct{ key []byte }

// NewDecoys makes them from a key that only this installation has. It has to
// survive restarts: a salt that changes while others stay is nobody's.
func NewDecoys(key []byte) *Decoys { return &Decoys{key: key} }
