// Package finished carries settings that the master has already checked to the
// process that uses them: flat, canonical, and cheap enough for a program that
// lives for two milliseconds.
//
// Runs as:   whoever imports it; pure.
// Trusts:    the master, which wrote the text.
// Distrusts: nobody: text it cannot read is a fault of ours.
// Speaks:    lines of KEY TAB VALUE, both with the escapes of package tabline.
package finished

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"culver/internal/tabline"
)

// MaxSize bounds one encoded Bag: a descriptor with more is not ours.
const MaxSize = 1 << 20

// Bag is a set of finished settings by name. Canonical values are: a boolean
// "yes" or "no"; a number in decimal; a size in bytes; a time in nanoseconds;
// a list as elements joined by TAB, "" being the empty list. Elements of
// repeated blocks have keys such as "passdb/0/driver", counted in
// "passdb/count".
type Bag map[string]string

// Encode gives the text form, in the order of the keys, so that equal Bags have
// equal texts.
func (b Bag) Encode() []byte {
	var out []byte
	for _, k := range slices.Sorted(maps.Keys(b)) {
		out = tabline.Append(out, k, b[k])
		out = append(out, '\n')
	}
	return out
}

// Decode reads what Encode wrote.
func Decode(text []byte) (Bag, error) {
	b := make(Bag, 64)
	for line := range strings.Lines(string(text)) {
		f := tabline.Split(strings.TrimSuffix(line, "\n"))
		if len(f) != 2 {
			return nil, fmt.Errorf("finished settings: line %q has %d fields, want 2", line, len(f))
		}
		b[f[0]] = f[1]
	}
	return b, nil
}

// String gives a setting as it is. A missing one is a bug of ours, as for all
// the typed forms below: use the map's own form for one that may be absent.
func (b Bag) String(key string) string {
	v, ok := b[key]
	if !ok {
		panic("finished settings: no " + key)
	}
	return v
}

// Bool gives a setting whose value is yes or no.
func (b Bag) Bool(key string) bool { return b.String(key) == "yes" }

// Int gives a number or a size in bytes.
func (b Bag) Int(key string) int64 {
	n, err := strconv.ParseInt(b.String(key), 10, 64)
	if err != nil {
		panic("finished settings: " + key + ": " + err.Error())
	}
	return n
}

// Duration gives a time.
func (b Bag) Duration(key string) time.Duration { return time.Duration(b.Int(key)) }

// List gives the elements of a list, nil when it is empty.
func (b Bag) List(key string) []string {
	v := b.String(key)
	if v == "" {
		return nil
	}
	return strings.Split(v, "\t")
}

// Sub gives the part of the Bag whose keys begin with prefix, the prefix
// removed: Sub("passdb/0/") for the first passdb.
func (b Bag) Sub(prefix string) Bag {
	sub := Bag{}
	for k, v := range b {
		if rest, ok := strings.CutPrefix(k, prefix); ok {
			sub[rest] = v
		}
	}
	return sub
}
