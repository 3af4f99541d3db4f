package brain

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"sync"
)

// maxWaiting is how many users wait for one server in memory; more of them do so
// in a file, and where each has steps of its own, as in a plan, none do.
const maxWaiting = 1024

// backlog is the users that wait for a server, first come first served. However
// many there are, memory holds a bounded number of them.
type backlog struct {
	mu     sync.Mutex
	change *sync.Cond
	first  []job // the oldest
	last   []job // the newest, where filed lie between
	filed  int   // users in the file
	closed bool
	steps  []step // of all jobs; nil: each has its own
	file   *os.File
	w      *bufio.Writer
	r      *bufio.Reader
}

// newBacklog makes one for jobs that all have the same steps, or none of whose.
func newBacklog(steps []step) *backlog {
	b := &backlog{steps: steps}
	b.change = sync.NewCond(&b.mu)
	return b
}

// push adds a job. It waits only where jobs cannot be written down.
func (b *backlog) push(j job) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.steps == nil && len(b.first) >= maxWaiting {
		b.change.Wait()
	}
	defer b.change.Broadcast()
	if b.filed == 0 && len(b.first) < maxWaiting {
		b.first = append(b.first, j)
		return nil
	}
	if b.last = append(b.last, j); len(b.last) < maxWaiting {
		b.filed++ // they are behind the first ones, as if they were in the file
		return nil
	}
	b.filed++
	return b.spill()
}

// spill writes the newest into the file.
func (b *backlog) spill() error {
	if b.file == nil {
		var err error
		if b.file, err = nameless(); err != nil {
			return err
		}
		b.w = bufio.NewWriter(b.file)
		b.r = bufio.NewReader(&growing{f: b.file})
	}
	for _, j := range b.last {
		b.w.Write(binary.AppendVarint(nil, j.n))
		for _, text := range [...]string{j.user, j.as} {
			b.w.Write(binary.AppendUvarint(nil, uint64(len(text))))
			b.w.WriteString(text)
		}
	}
	b.last = b.last[:0]
	return b.w.Flush()
}

// pop gives the oldest job, and waits for one. ok is false when there will be none.
func (b *backlog) pop() (j job, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.first) == 0 && b.filed == 0 {
		if b.closed {
			if b.file != nil {
				b.file.Close()
			}
			return job{}, false, nil
		}
		b.change.Wait()
	}
	if len(b.first) == 0 {
		if err := b.fetch(); err != nil {
			b.filed, b.last, b.closed = 0, nil, true
			return job{}, false, err
		}
	}
	j = b.first[0]
	b.first = b.first[1:]
	b.change.Broadcast()
	return j, true, nil
}

// fetch takes the next ones out of the file, and after those the newest.
func (b *backlog) fetch() error {
	b.first = b.first[:0:0]
	for inFile := b.filed - len(b.last); inFile > 0 && len(b.first) < maxWaiting; inFile-- {
		j := job{steps: b.steps}
		var err error
		if j.n, err = binary.ReadVarint(b.r); err != nil {
			return err
		}
		for _, to := range [...]*string{&j.user, &j.as} {
			size, err := binary.ReadUvarint(b.r)
			if err != nil || size > maxUserLine {
				return io.ErrUnexpectedEOF
			}
			text := make([]byte, size)
			if _, err := io.ReadFull(b.r, text); err != nil {
				return err
			}
			*to = string(text)
		}
		b.first = append(b.first, j)
	}
	if len(b.first) == 0 {
		b.first, b.last = b.last, nil
	}
	b.filed -= len(b.first)
	return nil
}

// close says that no more come.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.change.Broadcast()
}

// growing reads a file that is being written: its end is no end for ever, which
// a bufio.Reader would remember.
type growing struct {
	f  *os.File
	at int64
}

func (g *growing) Read(p []byte) (int, error) {
	n, err := g.f.ReadAt(p, g.at)
	g.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}
