package brain

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"culver/services/doveadm/format"
)

// output is stdout, and the results that wait for it.
type output struct {
	mu     sync.Mutex
	change *sync.Cond // something may go on
	turns  *turns
	jobs   map[int64]*waiting
	file   *os.File // what is held and not in memory; nil before there was such
	rows   *format.Printer
	width  int  // cells in a row of the server's
	open   bool // false: nothing is printed any more
	err    error
	dirty  bool
	last   time.Time
	record []byte
	piece  []byte // of a record that is printed
}

// waiting is a job that has sent something.
type waiting struct {
	user string
	held stream
	at   place // of all that it sent
}

// place is where in a row a result stands.
type place struct {
	column int
	middle bool // of a cell
}

func (p *place) step(last bool, width int) {
	if p.middle = !last; last {
		p.column = (p.column + 1) % width
	}
}

const flushEvery = 100 * time.Millisecond

func newOutput(r *format.Printer, width int, t *turns) *output {
	o := &output{turns: t, jobs: make(map[int64]*waiting), rows: r, width: width, open: true}
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
	w := o.jobs[n]
	if w == nil {
		w = &waiting{user: user}
		o.jobs[n] = w
	}
	for o.open {
		record := o.encode(w, piece, last)
		v := o.turns.offer(n, len(record))
		switch v {
		case through:
			o.print(w.user, &w.at, piece, last)
			return o.err
		case hold, spill:
			w.held.add(record)
			w.at.step(last, o.width)
			if v == spill {
				o.spill(n)
			}
			return nil
		}
		o.change.Wait()
	}
	return io.ErrClosedPipe
}

// encode makes the record of a piece, behind its user's name if it is the first.
func (o *output) encode(w *waiting, piece []byte, last bool) []byte {
	o.record = o.record[:0]
	if len(w.held) == 0 {
		o.record = appendRecord(o.record, jobOf, w.user)
	}
	kind := uint64(cellPart)
	if last {
		kind = cellEnd
	}
	o.record = append(binary.AppendUvarint(o.record, uint64(len(piece))<<2|kind), piece...)
	return o.record
}

// spill puts what a job has in memory into the file. Where that takes no more it
// stays in memory: one piece too much for each job, which then waits.
func (o *output) spill(n int64) {
	held := o.jobs[n].held
	for i, g := range held {
		if g.bytes == nil {
			continue
		}
		var err error
		if o.file == nil {
			o.file, err = nameless()
		}
		at := o.turns.end
		if err == nil {
			_, err = o.file.WriteAt(g.bytes, at)
		}
		if err != nil {
			o.turns.full()
			return
		}
		o.turns.spilled(n, len(g.bytes))
		held[i] = segment{at: at, size: int64(len(g.bytes))}
	}
}

// print sends one piece to the formatter.
func (o *output) print(user string, at *place, piece []byte, last bool) {
	if !at.middle {
		if at.column == 0 {
			o.rows.User(user)
		}
		o.rows.Begin()
	}
	o.rows.Write(piece)
	if last {
		o.rows.End()
	}
	at.step(last, o.width)
	o.dirty = true
	if last && at.column == 0 {
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
	delete(o.jobs, n)
	o.change.Broadcast()
	return true
}

// end says that a job has ended, and prints what waited for that. whole is false
// if the job's last row lacks cells.
func (o *output) end(n int64) (whole bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.jobs[n]
	whole = w == nil || w.at == place{}
	owned := o.turns.owns(n)
	print := o.turns.ended(n)
	switch {
	case owned && w != nil: // its own last row ends before another's begins
		o.rows.Break()
		delete(o.jobs, n)
	case w != nil && !o.turns.ordered:
		o.lay(w)
		delete(o.jobs, n)
		n = others
	}
	for _, m := range print {
		o.replay(o.jobs[m])
		if o.turns.jobs[m] == nil { // it has ended
			o.rows.Break()
			delete(o.jobs, m)
		}
	}
	if o.turns.end == 0 && o.file != nil {
		o.file.Truncate(0)
	}
	if o.turns.crowded(n) {
		o.spill(n)
	}
	o.change.Broadcast()
	return whole
}

// lay puts the result of a job that ended with those of the others.
func (o *output) lay(w *waiting) {
	all := o.jobs[others]
	if all == nil {
		all = new(waiting)
		o.jobs[others] = all
	}
	all.held.join(w.held)
}

// replay prints what was held.
func (o *output) replay(w *waiting) {
	r := bufio.NewReaderSize(w.held.reader(o.file), 64<<10)
	w.held = nil
	var user string
	var at place
	for o.err == nil {
		head, err := binary.ReadUvarint(r)
		if err == io.EOF {
			return
		}
		size := int(head >> 2)
		if err == nil {
			if cap(o.piece) < size {
				o.piece = make([]byte, size)
			}
			o.piece = o.piece[:size]
			_, err = io.ReadFull(r, o.piece)
		}
		switch kind := head & 3; {
		case err != nil:
			o.err = fmt.Errorf("results that were held: %w", err)
			o.shut()
		case kind == jobOf:
			if user != "" {
				o.rows.Break()
			}
			user, at = string(o.piece), place{}
		default:
			o.print(user, &at, o.piece, kind == cellEnd)
		}
	}
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
	if o.file != nil {
		o.file.Close()
	}
	return o.err
}
