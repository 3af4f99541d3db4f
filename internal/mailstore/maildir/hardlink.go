package maildir

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxBatch is how many messages are copied under one hold of the lock.
const maxBatch = 256

// CopyFrom puts a copy of src's message i into m, as a hard link where that is
// possible, and gives its UID.
func (m *Mailbox) CopyFrom(src *Mailbox, i int) (uid uint32, err error) {
	err = m.CopyAll(src, []int{i}, func(_ int, got uint32) error { uid = got; return nil })
	if err == nil && uid == 0 {
		err = ErrGone
	}
	return uid, err
}

// CopyAll copies several messages and calls done for each one that is durable
// in m; an error of done ends it. Messages that vanished meanwhile are left out.
func (m *Mailbox) CopyAll(src *Mailbox, which []int, done func(i int, uid uint32) error) error {
	return m.transfer(src, which, false, done)
}

// MoveAll is CopyAll, and expunges each message of src that is durable in m.
func (m *Mailbox) MoveAll(src *Mailbox, which []int, done func(i int, uid uint32) error) error {
	return m.transfer(src, which, true, func(i int, uid uint32) error {
		if err := src.Expunge(i); err != nil && !errors.Is(err, ErrGone) {
			return err
		}
		return done(i, uid)
	})
}

func (m *Mailbox) transfer(src *Mailbox, which []int, move bool, done func(i int, uid uint32) error) error {
	for len(which) > 0 {
		some := which[:min(len(which), maxBatch)]
		which = which[len(some):]
		if err := m.transferSome(src, some, move, done); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mailbox) transferSome(src *Mailbox, which []int, move bool, done func(i int, uid uint32) error) (err error) {
	u, err := m.s.usage(m.Folder)
	if err != nil {
		return err
	}
	defer u.close()
	// What moves inside the quota needs no room in it.
	free := move && m.s == src.s && m.s.c.Quota != nil && !m.s.c.Quota.ignored(src.Folder.Name)
	var all []newcomer
	var from []int
	defer func() {
		if err == nil {
			return
		}
		for _, n := range all {
			unix.Unlinkat(m.tmp, n.tmp, 0)
		}
	}()
	var bytes int64
	for _, i := range which {
		n, err := m.bring(src, i)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		all, from, bytes = append(all, n), append(from, i), bytes+n.size
		if !free {
			if err := u.roomFor(bytes, int64(len(all))); err != nil {
				return err
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	var uids []uint32
	if err := m.settle(all, func(got []uint32) { uids = got }); err != nil {
		return err
	}
	u.add(bytes, int64(len(all)))
	all = nil
	for k, i := range from {
		if err := done(i, uids[k]); err != nil {
			return err
		}
	}
	return nil
}

// bring makes a copy of a message in tmp/.
func (m *Mailbox) bring(src *Mailbox, i int) (n newcomer, err error) {
	n.tmp = m.s.uniqueName()
	var size int64
	err = src.onFile(i, func(at int, name []byte) error {
		var err error
		size, err = m.linkOrCopy(src, at, string(name), n.tmp)
		return err
	})
	if err != nil {
		return n, err
	}
	n.size = size
	if told, ok := src.nameSize(i); ok {
		n.size = told
	}
	letters, err := m.translate(src, i)
	if err != nil {
		unix.Unlinkat(m.tmp, n.tmp, 0)
		return n, err
	}
	n.info = infoOf(src.entries[i].flags, letters)
	m.nameCopy(src, i, &n)
	return n, nil
}

// nameCopy: a copy has the GUID of its source, as its base name where it may
// (spec/maildir.md 17).
func (m *Mailbox) nameCopy(src *Mailbox, i int, n *newcomer) {
	guid := src.MessageGUID(i)
	size, sized := src.nameSize(i)
	virtual, counted := src.told(i, ",W=", 'W')
	n.unique = func(base string) string {
		if sized {
			base += ",S=" + strconv.FormatInt(size, 10)
		}
		if counted {
			base += ",W=" + strconv.FormatInt(virtual, 10)
		}
		return base
	}
	if isFieldValue(guid) {
		n.renamed = " G" + guid
	}
	if !fitsAsBase(guid, size, sized) {
		n.base, n.fields, n.renamed = n.unique(n.tmp), n.renamed, ""
		return
	}
	n.base = guid
	if _, ok := numberInBase([]byte(guid), ",S="); sized && !ok {
		n.fields += " S" + strconv.FormatInt(size, 10)
	}
	if _, ok := numberInBase([]byte(guid), ",W="); counted && !ok {
		n.fields += " W" + strconv.FormatInt(virtual, 10)
	}
}

// maxBase leaves room for flags and keywords in a file name.
const maxBase = 200

// fitsAsBase: a GUID comes from the owner's files, and a size in it would be
// believed.
func fitsAsBase(guid string, size int64, sized bool) bool {
	if !isFieldValue(guid) || len(guid) > maxBase || guid[0] == '.' || strings.ContainsAny(guid, "/:") {
		return false
	}
	n, ok := numberInBase([]byte(guid), ",S=")
	return !ok || sized && n == size
}

// linkOrCopy makes the file in tmp/ and gives its size.
func (m *Mailbox) linkOrCopy(src *Mailbox, at int, name, tmp string) (int64, error) {
	var st unix.Stat_t
	if m.perm == src.perm {
		if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return 0, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return 0, unix.ELOOP
		}
		switch err := unix.Linkat(at, name, m.tmp, tmp, 0); err {
		case nil:
			return st.Size, nil
		case unix.EXDEV, unix.EMLINK, unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS:
		default:
			return 0, err
		}
	}
	from, st, err := openMessage(at, name)
	if err != nil {
		return 0, err
	}
	defer unix.Close(from)
	return st.Size, m.copyFile(from, st, tmp)
}

// copyFile copies the bytes as they are, compressed or not, with their date.
func (m *Mailbox) copyFile(from int, st unix.Stat_t, tmp string) (err error) {
	to, err := openAt(m.tmp, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, privateFile)
	if err != nil {
		return err
	}
	defer func() {
		unix.Close(to)
		if err != nil {
			unix.Unlinkat(m.tmp, tmp, 0)
		}
	}()
	if err := m.perm.apply(to, m.perm.file, privateFile); err != nil {
		m.s.warnf("%s: cannot give a message the group of its mailbox: %v", m.Folder.Name, err)
	}
	c := Content{fd: from}
	w := lineWriter{fd: to, buf: make([]byte, 0, 1)}
	buf := make([]byte, bufferSize)
	for {
		n, err := c.Read(buf)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		w.buf = buf[:n]
		if err := w.flush(); err != nil {
			return err
		}
	}
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}
	if err := futimens(to, &ts); err != nil {
		return err
	}
	if m.s.c.NoSync {
		return nil
	}
	return fsync(to)
}

// translate gives the letters here of the keywords there. One that finds no
// letter any more is lost, not the message.
func (m *Mailbox) translate(src *Mailbox, i int) (mask uint32, err error) {
	for _, name := range src.KeywordNames(i) {
		one, err := m.letters([]string{name}, true)
		if errors.Is(err, ErrKeyword) {
			m.s.warnf("%s: a copy loses its keyword: %v", m.Folder.Name, err)
			continue
		}
		if err != nil {
			return 0, err
		}
		mask |= one
	}
	return mask, nil
}
