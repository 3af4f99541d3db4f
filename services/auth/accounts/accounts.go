// Package accounts turns names of accounts and groups into numbers, from
// /etc/passwd and /etc/group.
//
// Runs as:   the auth service user.
// Trusts:    the two files.
// Distrusts: nothing else: a static program has no NSS, so accounts that only
// LDAP or SSSD knows must be given as numbers.
// Speaks:    passwd(5), group(5).
package accounts

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrUnresolved says that a name is that of no account, or a number of none.
var ErrUnresolved = errors.New("does not resolve")

// Table is one of the two files, read again when it changed.
type Table struct {
	Path string
	Now  func() time.Time

	mu    sync.Mutex
	next  time.Time
	mtime time.Time
	size  int64
	ids   map[string]int
}

// ID gives the number of a name, or of a number in digits. 0 is none: no mail
// is root's, and a 0 is what a forgotten column looks like.
func (t *Table) ID(name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		switch n {
		case 0, 1<<32 - 1:
			return 0, fmt.Errorf("%d is not allowed", n)
		}
		return int(n), nil
	}
	if name == "" {
		return 0, errors.New("is missing")
	}
	n, ok := t.lookup(name)
	switch {
	case !ok:
		return 0, fmt.Errorf("%q %w in %s", name, ErrUnresolved, t.Path)
	case n == 0:
		return 0, fmt.Errorf("%q is 0, which is not allowed", name)
	}
	return n, nil
}

func (t *Table) lookup(name string) (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	if at := now(); !at.Before(t.next) {
		t.next = at.Add(time.Second)
		t.refresh()
	}
	n, ok := t.ids[name]
	return n, ok
}

// refresh keeps the old table when the file cannot be read: a name that does
// not resolve is a temporary failure anyway.
func (t *Table) refresh() {
	st, err := os.Stat(t.Path)
	if err != nil || t.ids != nil && st.ModTime().Equal(t.mtime) && st.Size() == t.size {
		return
	}
	text, err := os.ReadFile(t.Path)
	if err != nil {
		return
	}
	ids := map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(line, ":", 4)
		if len(f) < 4 {
			continue
		}
		if n, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			if _, twice := ids[f[0]]; !twice {
				ids[f[0]] = int(n)
			}
		}
	}
	t.ids, t.mtime, t.size = ids, st.ModTime(), st.Size()
}
