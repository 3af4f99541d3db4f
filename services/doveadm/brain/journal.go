package brain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
)

// A journal is a header line and then a line for each user begun ("+user") and
// done ("=user TAB status"). Lines are only ever added. Names have no control
// bytes, so that nothing needs escaping.
const (
	journalBegin = '+'
	journalEnd   = '='
)

// header is a journal's first line: the run, with moments for what counts from
// now, so that it means the same tomorrow.
type header struct {
	Journal int      `json:"doveadm-journal"` // its version
	Began   string   `json:"began"`
	Command string   `json:"command"`
	Args    []string `json:"args"`
	Users   choice   `json:"users"`
	Server  string   `json:"server"`
	Ordered bool     `json:"ordered,omitempty"`
	Input   *digest  `json:"input,omitempty"`
	Plan    *digest  `json:"plan,omitempty"`
}

const journalVersion = 1

// journal is one that is written. A nil one takes all and keeps nothing.
type journal struct {
	name string

	mu      sync.Mutex
	change  *sync.Cond
	f       *os.File
	written int64 // lines
	synced  int64
	syncing bool
	err     error
}

// newJournal begins a journal, which must not be there.
func newJournal(name string, h header) (*journal, error) {
	h.Journal = journalVersion
	h.Began = time.Now().UTC().Format(time.RFC3339)
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if len(line) >= maxJournal {
		return nil, usage("the command is too long for a journal")
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, usage("journal " + name + " is there already; go on with it by: " + command.Program + " resume " + name)
	} else if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := openJournal(f)
	if err := j.locked(); err != nil {
		return nil, err
	}
	if err := j.write(append(line, '\n'), true); err != nil {
		return nil, err
	}
	return j, syncFolder(name)
}

func openJournal(f *os.File) *journal {
	j := &journal{name: f.Name(), f: f}
	j.change = sync.NewCond(&j.mu)
	return j
}

// locked keeps a second run away from the same journal.
func (j *journal) locked() error {
	if err := unix.Flock(int(j.f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("journal %s is in use by another run: %w", j.name, err)
	}
	return nil
}

func syncFolder(name string) error {
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (j *journal) path() string {
	if j == nil {
		return ""
	}
	return j.name
}

// begin notes that a user's command is about to be sent. durable means on disk:
// where a second time does harm, a power cut must not make us forget the first.
func (j *journal) begin(user string, durable bool) error {
	if j == nil {
		return nil
	}
	return j.write([]byte(string(journalBegin)+user+"\n"), durable)
}

// end notes a user's status.
func (j *journal) end(user string, code int) error {
	if j == nil {
		return nil
	}
	return j.write([]byte(string(journalEnd)+user+"\t"+strconv.Itoa(code)+"\n"), false)
}

func (j *journal) write(line []byte, durable bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	if _, err := j.f.Write(line); err != nil {
		j.err = fmt.Errorf("journal: %w", err)
		return j.err
	}
	j.written++
	if durable {
		j.sync(j.written)
	}
	return j.err
}

// sync returns when so many lines are on disk; those who wait share one sync.
// The lock is held.
func (j *journal) sync(line int64) {
	for j.synced < line && j.err == nil {
		if j.syncing {
			j.change.Wait()
			continue
		}
		j.syncing = true
		upTo := j.written
		j.mu.Unlock()
		err := j.f.Sync()
		j.mu.Lock()
		j.syncing, j.synced = false, upTo
		if err != nil {
			j.err = fmt.Errorf("journal: %w", err)
		}
		j.change.Broadcast()
	}
}

// tick puts on disk what is not.
func (j *journal) tick() {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sync(j.written)
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.tick()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.f.Close(); j.err == nil && err != nil {
		j.err = fmt.Errorf("journal: %w", err)
	}
	return j.err
}

// past is what a journal tells of its users: hashes of their names, so that a
// million of them are eight megabytes.
type past struct {
	seed maphash.Seed
	done []uint64        // sorted
	open map[uint64]bool // begun, and perhaps done
}

type pastOf int

const (
	notBegun pastOf = iota
	wasDone
	wasBegun
)

func (p *past) of(user string) pastOf {
	if p == nil {
		return notBegun
	}
	h := maphash.String(p.seed, user)
	if _, ok := slices.BinarySearch(p.done, h); ok {
		return wasDone
	}
	if p.open[h] {
		return wasBegun
	}
	return notBegun
}

// resumeJournal opens a journal to go on with it.
func resumeJournal(name string) (*journal, header, *past, error) {
	var h header
	fail := func(err error) (*journal, header, *past, error) {
		return nil, h, nil, fmt.Errorf("journal: %w", err)
	}
	f, err := openOwn(name, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return fail(err)
	}
	j := openJournal(f)
	if err := j.locked(); err != nil {
		f.Close()
		return nil, h, nil, err
	}
	h, p, whole, err := readJournal(f)
	if err != nil {
		f.Close()
		return nil, h, nil, err
	}
	// A line without its end was cut off by the end of the machine, and would
	// swallow the next one.
	if err := f.Truncate(whole); err != nil {
		f.Close()
		return fail(err)
	}
	return j, h, p, nil
}

// readJournal reads a journal's header, its users, and how far its lines are
// whole.
func readJournal(r io.Reader) (h header, p *past, whole int64, err error) {
	bad := func(n int, what string) error {
		return &failure{doveadmproto.DataErr, fmt.Sprintf("journal: line %d: %s", n, what)}
	}
	b := bufio.NewReaderSize(r, maxJournal)
	p = &past{seed: maphash.MakeSeed(), open: make(map[uint64]bool)}
	for n := 1; ; n++ {
		line, err := b.ReadSlice('\n')
		if err == io.EOF {
			if n == 1 {
				return h, nil, 0, bad(1, "there is no header")
			}
			break
		} else if err == bufio.ErrBufferFull {
			return h, nil, 0, bad(n, "it is too long")
		} else if err != nil {
			return h, nil, 0, fmt.Errorf("journal: %w", err)
		}
		whole += int64(len(line))
		line = bytes.TrimSuffix(line, []byte("\n"))
		if n == 1 {
			if json.Unmarshal(line, &h) != nil || h.Journal == 0 {
				return h, nil, 0, bad(1, "this is not the header of a journal")
			}
			if h.Journal != journalVersion {
				return h, nil, 0, bad(1, fmt.Sprintf("version %d of journals is not known", h.Journal))
			}
			continue
		}
		if len(line) == 0 {
			return h, nil, 0, bad(n, "it is empty")
		}
		user, status, ended := bytes.Cut(line[1:], []byte("\t"))
		hash := maphash.Bytes(p.seed, user)
		if line[0] == journalBegin && !ended {
			p.open[hash] = true
			continue
		}
		code, err := strconv.Atoi(string(status))
		switch {
		case line[0] != journalEnd || err != nil:
			return h, nil, 0, bad(n, "it is neither +USER nor =USER TAB STATUS")
		case code == 0:
			p.done = append(p.done, hash)
			delete(p.open, hash)
		case harmless(code):
			delete(p.open, hash)
		}
	}
	slices.Sort(p.done)
	return h, p, whole, nil
}

// harmless statuses say that nothing was done.
func harmless(code int) bool {
	switch code {
	case doveadmproto.Usage, doveadmproto.NoUser, doveadmproto.NotFound, doveadmproto.NoPerm:
		return true
	}
	return false
}
