package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	keywordsName     = "dovecot-keywords"
	keywordsLockName = "dovecot-keywords.lock"
	maxKeywords      = 26
	maxKeyword       = 50 // mail_max_keyword_length
	maxKeywordsFile  = 64 << 10
)

// ErrKeyword: no message can have this keyword.
var ErrKeyword = errors.New("invalid keyword")

// keywords are the names of the letters a to z in one folder.
type keywords [maxKeywords]string

// parseKeywords reads lines of an index and a name. Indexes above the letters
// live in Dovecot's index only; they are not ours, and neither is a line that
// nobody could have written.
func parseKeywords(text []byte) (k keywords) {
	for line := range bytes.Lines(text) {
		number, name, ok := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(" "))
		i, isNumber := parseUint32(number)
		if ok && isNumber && i < maxKeywords && len(name) > 0 && len(name) <= 255 {
			k[i] = string(name)
		}
	}
	return k
}

func (k *keywords) letter(name string) (int, bool) {
	for i, have := range k {
		if have != "" && strings.EqualFold(have, name) {
			return i, true
		}
	}
	return 0, false
}

// named: all these letters have names.
func (k *keywords) named(mask uint32) bool {
	for i, name := range k {
		if mask&(1<<i) != 0 && name == "" {
			return false
		}
	}
	return true
}

// checkKeyword: an IMAP atom, and no system flag.
func checkKeyword(name string) error {
	if name == "" || len(name) > maxKeyword {
		return fmt.Errorf("%w: %q is empty or longer than %d bytes", ErrKeyword, name, maxKeyword)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("(){%*\"\\]", c) >= 0 {
			return fmt.Errorf("%w: %q has a character that IMAP does not allow there", ErrKeyword, name)
		}
	}
	return nil
}

// Keywords gives the names of the letters a to z. A letter that the folder's
// file does not name, though messages have it, has Dovecot's invented name.
func (m *Mailbox) Keywords() []string {
	out := make([]string, maxKeywords)
	for i := range out {
		if out[i] = m.keywords[i]; out[i] == "" {
			out[i] = "unknown-" + strconv.Itoa(i)
		}
	}
	return out
}

// KeywordNames gives the keywords of message i.
func (m *Mailbox) KeywordNames(i int) (names []string) {
	mask := m.entries[i].keywords
	if mask == 0 {
		return nil
	}
	// A letter that came with a later scan may have come with its name.
	if m.namedAt != m.pass && !m.keywords.named(mask) {
		m.readKeywords()
	}
	for k, name := range m.Keywords() {
		if mask&(1<<k) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (m *Mailbox) readKeywords() error {
	m.namedAt = m.pass
	fd, st, err := regular(m.control, keywordsName, unix.O_RDONLY)
	if err == unix.ENOENT {
		m.keywords = keywords{}
		return nil
	}
	if err != nil {
		return classed("open", keywordsName, err)
	}
	defer unix.Close(fd)
	if st.Size > maxKeywordsFile {
		return fmt.Errorf("%s is larger than %d bytes", keywordsName, maxKeywordsFile)
	}
	buf := make([]byte, st.Size)
	n, err := again(func() (int, error) { return unix.Pread(fd, buf, 0) })
	if err != nil {
		return classed("read", keywordsName, err)
	}
	m.keywords = parseKeywords(buf[:n])
	return nil
}

// letters gives the letters of keywords, and with add those that have none get
// one. Without it unknown ones are left out: no message can have them.
func (m *Mailbox) letters(names []string, add bool) (mask uint32, err error) {
	var missing []string
	for _, name := range names {
		if i, ok := m.keywords.letter(name); ok {
			mask |= 1 << i
			continue
		}
		if err := checkKeyword(name); err != nil {
			return 0, err
		}
		missing = append(missing, name)
	}
	if len(missing) == 0 || !add {
		return mask, nil
	}
	lock, err := m.s.lockList(m.control)
	if err != nil {
		return 0, err
	}
	defer lock.release()
	if err := m.addKeywords(lock, missing); err != nil {
		return 0, err
	}
	for _, name := range missing {
		if i, ok := m.keywords.letter(name); ok {
			mask |= 1 << i
		}
	}
	return mask, nil
}

// addKeywords gives letters to names under the lock. No letter is ever given
// again: it stands in file names that nobody has counted. So one that messages
// of this folder have, without a name, is not free either.
func (m *Mailbox) addKeywords(lock *listLock, names []string) error {
	if err := m.readKeywords(); err != nil {
		return err
	}
	var used uint32
	for i := range m.entries {
		used |= m.entries[i].keywords
	}
	changed := false
	for _, name := range names {
		if _, ok := m.keywords.letter(name); ok {
			continue
		}
		at := -1
		for i := maxKeywords - 1; i >= 0; i-- {
			if m.keywords[i] != "" {
				break
			}
			if used&(1<<i) == 0 {
				at = i
			}
		}
		if at < 0 {
			for i, have := range m.keywords {
				if have == "" && used&(1<<i) == 0 {
					at = i
					break
				}
			}
		}
		if at < 0 {
			return fmt.Errorf("%w: %q: the folder has %d keywords already, more have no letter", ErrKeyword, name, maxKeywords)
		}
		m.keywords[at] = name
		changed = true
	}
	if !changed {
		return nil
	}
	return m.writeKeywords(lock)
}

// writeKeywords writes the file aside and renames it. Readers compare its time,
// so it must be a later one, in whole seconds.
func (m *Mailbox) writeKeywords(lock *listLock) error {
	var text []byte
	for i, name := range m.keywords {
		if name != "" {
			text = fmt.Appendf(text, "%d %s\n", i, name)
		}
	}
	if err := lock.held(); err != nil {
		return err
	}
	unix.Unlinkat(m.control, keywordsLockName, 0) // of one who died: the uid list's lock is ours
	fd, err := openAt(m.control, keywordsLockName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, privateFile)
	if err != nil {
		return classed("create", keywordsLockName, err)
	}
	defer unix.Close(fd)
	if err = m.fillKeywords(fd, text); err == nil {
		err = unix.Renameat(m.control, keywordsLockName, m.control, keywordsName)
	}
	if err != nil {
		unix.Unlinkat(m.control, keywordsLockName, 0)
		return classed("write", keywordsName, err)
	}
	return m.s.sync(m.control, keywordsName)
}

func (m *Mailbox) fillKeywords(fd int, text []byte) error {
	if p, err := permOf(m.control); err != nil {
		return err
	} else if err := p.apply(fd, p.file, privateFile); err != nil {
		return err
	}
	if n, err := unix.Write(fd, text); err != nil || n != len(text) {
		return errors.Join(err, unix.ENOSPC)
	}
	var old unix.Stat_t
	mtime := time.Now()
	if unix.Fstatat(m.control, keywordsName, &old, unix.AT_SYMLINK_NOFOLLOW) == nil && mtime.Unix() <= old.Mtim.Sec {
		mtime = time.Unix(old.Mtim.Sec+1, 0)
		ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(mtime.UnixNano())}
		if err := futimens(fd, &ts); err != nil {
			return err
		}
	}
	if m.s.c.NoSync {
		return nil
	}
	return fsync(fd)
}
