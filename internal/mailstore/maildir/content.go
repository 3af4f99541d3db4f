package maildir

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrCompressed: the message is compressed in a way that is not read here.
var ErrCompressed = errors.New("message is compressed in an unsupported way")

// ErrTooLarge: the message is larger than what anybody reads to its end. Its
// owner can make a file of any size, and a few compressed bytes that never end.
var ErrTooLarge = errors.New("message is too large to be read")

// MaxText bounds the text that is read for a condition or a size; MaxUnpacked
// that of a compressed message, which is kept in memory where it is searched.
const (
	MaxText     = 1 << 30
	MaxUnpacked = 64 << 20
)

// headSize is what is read of a message as soon as it is opened: most headers,
// and many a whole message.
const headSize = 8 << 10

// Content is one message, open for reading: its text, whatever Dovecot's zlib
// plugin made of the file.
type Content struct {
	box  *Mailbox
	fd   int
	at   int64
	head []byte // the beginning of the file
	stat unix.Stat_t
	gz   *gzip.Reader // nil: the file is the text
}

// Content opens message i, and reads its beginning.
func (m *Mailbox) Content(i int) (*Content, error) {
	c := &Content{box: m, fd: -1, head: m.head}
	if m.head = nil; c.head == nil {
		c.head = make([]byte, headSize)
	}
	if err := m.onFile(i, func(at int, name []byte) error { return c.open(at, string(name)) }); err != nil {
		c.Close()
		return nil, err
	}
	if err := c.detect(); err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", m.Base(i), err)
	}
	return c, nil
}

func (c *Content) open(at int, name string) (err error) {
	if c.fd, c.stat, err = openMessage(at, name); err != nil {
		return err
	}
	n, err := again(func() (int, error) { return unix.Pread(c.fd, c.head[:headSize], 0) })
	c.head = c.head[:max(n, 0)]
	return err
}

// openMessage opens a plain file, whatever the number of its names: copies are
// hard links.
func openMessage(at int, name string) (fd int, st unix.Stat_t, err error) {
	if fd, err = openToRead(at, name); err != nil {
		return -1, st, err
	}
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.ELOOP
	}
	if err != nil {
		unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

// openToRead opens a message. That an administrator looks at it is not the
// owner's reading it, and is not noted as such where we may leave that out.
func openToRead(at int, name string) (int, error) {
	fd, err := openAt(at, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOATIME, 0)
	if err == unix.EPERM { // it is another's
		fd, err = openAt(at, name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	return fd, err
}

// The first bytes of compressed files; no message begins like this.
var magics = []struct{ magic, name string }{
	{"\x1f\x8b", "gz"},
	{"\x28\xb5\x2f\xfd", "zstd"},
	{"BZh", "bzip2"},
	{"\xfd7zXZ\x00", "xz"},
	{"Dovecot-LZ4\r\x2a\x9b\xc5", "lz4"},
}

func (c *Content) detect() (err error) {
	switch kind := compression(c.head); kind {
	case "":
		return nil
	case "gz":
		c.gz, err = gzip.NewReader(&raw{c: c})
		return err
	default:
		return fmt.Errorf("%w: %s", ErrCompressed, kind)
	}
}

func compression(head []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) && (m.name != "bzip2" || len(head) > 9 && string(head[4:10]) == "1AY&SY") {
			return m.name
		}
	}
	return ""
}

// raw reads the file's bytes in order, some at a time, for the decompressor.
type raw struct {
	c    *Content
	at   int64
	buf  []byte
	have []byte
}

func (r *raw) fill() error {
	if len(r.have) > 0 {
		return nil
	}
	if r.buf == nil {
		r.buf = make([]byte, 16<<10)
	}
	n, err := r.c.pread(r.buf, r.at)
	r.at += int64(n)
	r.have = r.buf[:n]
	if n > 0 {
		return nil
	}
	return err
}

func (r *raw) Read(p []byte) (int, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.have)
	r.have = r.have[n:]
	return n, nil
}

func (r *raw) ReadByte() (byte, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	b := r.have[0]
	r.have = r.have[1:]
	return b, nil
}

// Compressed says that the text must be read in order: ReadAt has only the
// file's bytes.
func (c *Content) Compressed() bool { return c.gz != nil }

// FileSize is the file's; of a compressed one it says nothing about the text.
func (c *Content) FileSize() int64 { return c.stat.Size }

// Read gives the text in order.
func (c *Content) Read(p []byte) (int, error) {
	if c.gz != nil {
		return c.gz.Read(p)
	}
	n, err := c.pread(p, c.at)
	c.at += int64(n)
	return n, err
}

// ReadAt reads the text of a message that is not Compressed.
func (c *Content) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = c.pread(p[n:], off+int64(n))
		n += more
	}
	return n, err
}

func (c *Content) pread(p []byte, off int64) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case off < int64(len(c.head)):
		return copy(p, c.head[off:]), nil
	}
	n, err := again(func() (int, error) { return unix.Pread(c.fd, p, off) })
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Rewind begins again.
func (c *Content) Rewind() error {
	c.at = 0
	if c.gz != nil {
		return c.gz.Reset(&raw{c: c})
	}
	return nil
}

// Close gives the descriptor back.
func (c *Content) Close() error {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
	if c.head != nil {
		c.box.head, c.head = c.head, nil
	}
	return nil
}

// field gives what the uid list says about message i.
func (m *Mailbox) field(i int, letter byte) (string, bool) {
	e := &m.entries[i]
	if e.extra == 0 {
		return "", false
	}
	return listField(m.extras[e.extra-1], letter)
}

// MessageGUID is the same for all copies of a message.
func (m *Mailbox) MessageGUID(i int) string {
	if guid, ok := m.field(i, 'G'); ok && guid != "" {
		return guid
	}
	return m.Base(i)
}

// nameSize is the size that the name tells, or the uid list.
func (m *Mailbox) nameSize(i int) (int64, bool) { return m.told(i, ",S=", 'S') }

func (m *Mailbox) told(i int, key string, letter byte) (int64, bool) {
	if n, ok := numberInBase(m.base(&m.entries[i]), key); ok {
		return n, true
	}
	if text, ok := m.field(i, letter); ok {
		n, err := strconv.ParseUint(text, 10, 62)
		return int64(n), err == nil
	}
	return 0, false
}

// numberInBase finds ,S= or ,W= in a base name.
func numberInBase(base []byte, key string) (n int64, ok bool) {
	at := bytes.Index(base, []byte(key))
	if at < 0 {
		return 0, false
	}
	text := base[at+len(key):]
	if c := bytes.IndexByte(text, ','); c >= 0 {
		text = text[:c]
	}
	if len(text) == 0 || len(text) > 18 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// Size is that of the text as it is stored. What the name says is believed.
func (m *Mailbox) Size(i int) (int64, error) {
	if n, ok := m.nameSize(i); ok {
		return n, nil
	}
	c, err := m.Content(i)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if !c.Compressed() {
		return c.FileSize(), nil
	}
	size, _, err := c.measure()
	return size, err
}

// Virtual is the size with CRLF line ends: what IMAP shows.
func (m *Mailbox) Virtual(i int) (int64, error) {
	if n, ok := m.told(i, ",W=", 'W'); ok {
		return n, nil
	}
	c, err := m.Content(i)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_, virtual, err := c.measure()
	return virtual, err
}

// CheckSize says that the message may be read to its end, as far as its file's
// size tells.
func (c *Content) CheckSize() error {
	if c.gz == nil && c.stat.Size > MaxText {
		return fmt.Errorf("%w: %d bytes, of %d at most", ErrTooLarge, c.stat.Size, int64(MaxText))
	}
	return nil
}

// measure reads all the text.
func (c *Content) measure() (size, virtual int64, err error) {
	if err := c.CheckSize(); err != nil {
		return 0, 0, err
	}
	limit := int64(MaxText)
	if c.gz != nil {
		limit = MaxUnpacked
	}
	buf := make([]byte, 64<<10)
	last := byte(0)
	for {
		n, err := c.Read(buf)
		p := buf[:n]
		c.box.s.c.Beat()
		if size += int64(n); size > limit {
			return 0, 0, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
		}
		virtual += int64(n)
		for i := bytes.IndexByte(p, '\n'); i >= 0; {
			if i > 0 {
				last = p[i-1]
			}
			if last != '\r' {
				virtual++
			}
			last, p = '\n', p[i+1:]
			i = bytes.IndexByte(p, '\n')
		}
		if len(p) > 0 {
			last = p[len(p)-1]
		}
		if err == io.EOF {
			return size, virtual, nil
		}
		if err != nil {
			return 0, 0, err
		}
	}
}

// Received is when the message came: the time of its file.
func (m *Mailbox) Received(i int) (time.Time, error) {
	st, err := m.stat(i)
	return time.Unix(st.Mtim.Unix()), err
}

func (m *Mailbox) stat(i int) (st unix.Stat_t, err error) {
	err = m.onFile(i, func(at int, name []byte) error {
		return unix.Fstatat(at, string(name), &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, err
}
