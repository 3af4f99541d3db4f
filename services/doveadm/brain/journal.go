package brain

type journal struct{}

type verdictOfJournal int

const (
	wasNothing verdictOfJournal = iota
	wasDone
	wasBegun
)

func (j *journal) begin(user string, sync bool) error { return nil }
func (j *journal) end(user string, code int) error    { return nil }
func (j *journal) close() error                       { return nil }
func (j *journal) path() string                       { return "" }
