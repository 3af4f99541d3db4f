package brain

import (
	"encoding/binary"
	"io"
	"sync"
	"time"

	"culver/services/doveadm/format"
)

// output is stdout, and the results that wait for it.
type output struct {
	mu     sync.Mutex
	change *sync.Cond // something may go on
	turns  *turns
	held   map[int64]*waiting
	rows   *format.Printer
	width  int  // cells in a row of the server's
	open   bool // false: nothing is printed any more
	err    error
	dirty  bool
	last   time.Time
}

// waiting is what a job has that was not printed, and what was.
type waiting struct {
	user   string
	bytes  []byte // pieces: length times two, plus one where it ends the cell; the bytes
	column int    // printed: of the row
	middle bool   // printed: part of a cell
}

const flushEvery = 100 * time.Millisecond

func newOutput(r *format.Printer, width int, t *turns) *output {
	o := &output{turns: t, held: make(map[int64]*waiting), rows: r, width: width, open: true}
	o.change = sync.NewCond(&o.mu)
	return o
}

// begin waits until a job may begin. It is false when nothing may any more.
func (o *output) begin(n int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.open && !o.turns.mayBegin(n) {
		o.change.Wait()
	}
	return o.open
}

// cell takes a piece of a job's result: prints it, keeps it, or waits.
func (o *output) cell(n int64, user string, piece []byte, last bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.width == 0 {
		return nil // a command without rows, and a server that sends some
	}
	w := o.held[n]
	if w == nil {
		w = &waiting{user: user}
		o.held[n] = w
	}
	for o.open {
		switch o.turns.offer(n, len(piece)+binary.MaxVarintLen32) {
		case through:
			o.print(w, piece, last)
			return o.err
		case hold:
			w.bytes = append(binary.AppendUvarint(w.bytes, uint64(len(piece))<<1|bit(last)), piece...)
			return nil
		}
		o.change.Wait()
	}
	return io.ErrClosedPipe
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// print sends one piece to the formatter.
func (o *output) print(w *waiting, piece []byte, last bool) {
	if w.column == 0 && !w.middle {
		o.rows.User(w.user)
	}
	if !w.middle {
		o.rows.Begin()
	}
	o.rows.Write(piece)
	if w.middle = !last; last {
		o.rows.End()
		w.column = (w.column + 1) % o.width
	}
	o.dirty = true
	if last && w.column == 0 {
		if now := time.Now(); now.Sub(o.last) >= flushEvery {
			o.flush(now)
		}
	}
}

func (o *output) flush(now time.Time) {
	o.last, o.dirty = now, false
	if o.err = o.rows.Flush(); o.err != nil {
		o.shut()
	}
}

// tick sends what was printed and lies about.
func (o *output) tick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dirty && o.err == nil {
		o.flush(time.Now())
	}
}

// drop forgets a job's result because the job begins again; false if some of it
// was printed.
func (o *output) drop(n int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.turns.drop(n) {
		return false
	}
	delete(o.held, n)
	o.change.Broadcast()
	return true
}

// end says that a job has ended, and prints what waited for that. whole is false
// if the job's last row lacks cells.
func (o *output) end(n int64) (whole bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole = o.complete(o.held[n])
	print := o.turns.end(n)
	// The job's own last row ends before another's begins.
	for _, m := range append([]int64{n}, print...) {
		w := o.held[m]
		if w == nil || m == n && o.turns.jobs[n] != nil {
			continue // nothing to print, or not yet
		}
		o.replay(w)
		if o.turns.jobs[m] == nil { // it has ended
			o.rows.Break()
			delete(o.held, m)
		}
	}
	o.change.Broadcast()
	return whole
}

// complete tells whether a job's cells are whole rows.
func (o *output) complete(w *waiting) bool {
	if w == nil || o.width == 0 {
		return true
	}
	column, middle := w.column, w.middle
	for b := w.bytes; len(b) > 0; {
		n, size := binary.Uvarint(b)
		b = b[size+int(n>>1):]
		if middle = n&1 == 0; !middle {
			column = (column + 1) % o.width
		}
	}
	return column == 0 && !middle
}

func (o *output) replay(w *waiting) {
	for b := w.bytes; len(b) > 0; {
		n, size := binary.Uvarint(b)
		o.print(w, b[size:size+int(n>>1)], n&1 == 1)
		b = b[size+int(n>>1):]
	}
	w.bytes = nil
}

// shut lets nobody wait any more; the lock is held.
func (o *output) shut() {
	o.open = false
	o.change.Broadcast()
}

// finish prints what the formatter says at the end.
func (o *output) finish() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = o.rows.Close()
	}
	return o.err
}
