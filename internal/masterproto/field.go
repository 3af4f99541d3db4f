package masterproto

import (
	"math"
	"time"

	"culver/internal/packet"
)

// cut shortens a line for people to its limit.
func cut(s string) string { return s[:min(len(s), MaxText)] }

// num reads a number that an int holds and that is not below 0.
func num(r *packet.Reader) int {
	n := r.Num()
	if n > math.MaxInt64 {
		r.Bad = true
		return 0
	}
	return int(n)
}

// pid reads a process's number: those that a signal would take for a group, or
// for everybody, are none.
func pid(r *packet.Reader) int {
	n := r.Num()
	if n == 0 || n > math.MaxInt32 {
		r.Bad = true
		return 0
	}
	return int(n)
}

// A time is its nanoseconds since 1970; 0 is the zero time.
func putTime(w *packet.Writer, t time.Time) {
	if t.IsZero() {
		w.Num(0)
		return
	}
	w.Num(uint64(t.UnixNano()))
}

func getTime(r *packet.Reader) time.Time {
	n := num(r)
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n))
}

func putBool(w *packet.Writer, b bool) {
	if b {
		w.Byte(1)
	} else {
		w.Byte(0)
	}
}

func getBool(r *packet.Reader) bool {
	b := r.Byte()
	if b > 1 {
		r.Bad = true
	}
	return b == 1
}
