package worker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/mailstore/maildir"
	"culver/internal/tabline"
	"culver/services/doveadm/command"
	"culver/services/doveadm/search"
)

// Messages go from one user to another by two workers, each of which holds one
// user's mail. The front gives the source's worker the command "export" and
// relays channel P between the two, in both directions:
//
//	destination: GO TAB action TAB ("dry" or "run") [TAB uidvalidity]... LF
//	             once it is able to save; the source begins after it
//	source:      M TAB mailbox TAB guid TAB uidvalidity TAB uid TAB size TAB flags TAB
//	             keywords TAB received TAB message-guid LF, and size bytes unless dry;
//	             E LF and the end of its stream, after the last
//	destination: "+" for each message that is durable, which a move then expunges;
//	             "-" and nothing more when it gives up
//
// Fields are escaped as in package tabline. Levels of a mailbox's name are
// separated by LF, flags are their letters in file names, keywords are separated
// by blanks, received is in unix seconds.

const (
	// maxMeta bounds a line of either side, window the messages under way.
	maxMeta = 16 << 10
	window  = 64
	// maxMessage bounds one message of another user's.
	maxMessage = 1 << 40
)

// exportCommand is the internal command of a source's worker.
const exportCommand = "export"

var exportSpec = command.Spec{Name: exportCommand, Bare: true, Args: []command.Arg{{Name: "words", Many: true}}}

// exporter is the source's end.
type exporter struct {
	c       *call
	in      *bufio.Reader
	out     []byte
	move    bool
	dry     bool
	broken  bool  // a message was sent in part
	waiting []int // messages of the open mailbox without an answer
	msg     message
}

// errEnough says that the destination wants no more, and has said why.
var errEnough = errors.New("the destination gave up")

// export gives this user's messages to another's worker. Whatever goes wrong
// between two messages is this worker's to report: the destination has all that
// it was sent.
func (c *call) export() error {
	e := exporter{c: c, in: bufio.NewReaderSize(c.input(doveadmproto.ChPeer), maxMeta)}
	err := e.run()
	if errors.Is(err, errEnough) {
		return nil
	}
	if !e.broken {
		e.out = append(e.out, "E\n"...)
		e.flush()
		c.conn.packet(doveadmproto.ChPeer, nil)
	}
	return err
}

// exportWords are the action and what it takes.
func (c *call) exportWords() []string {
	words := c.All("words")
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	return words
}

// exported is the command that the client gave, of which this is a half. Only
// those that have two halves count: leave to search is no leave to take mail away.
func (c *call) exported() string {
	if words := c.exportWords(); len(words) > 0 {
		switch words[0] {
		case "copy", "move", "import":
			return words[0]
		}
	}
	return "(" + exportCommand + ")" // no ticket can have such a name
}

func (e *exporter) run() error {
	c := e.c
	words := c.exportWords()
	if len(words) < 2 {
		return failed(codeUsage, "export: no query")
	}
	action, words := words[0], words[1:]
	if action == "import" {
		if err := c.openSource(words[0]); err != nil {
			return err
		}
		words = words[1:]
	}
	q, err := search.Parse(words, search.Env{Now: c.begun})
	if err != nil {
		return err
	}
	e.move = action == "move"
	if err := e.begin(q, action); err != nil {
		return err
	}
	return c.each(q, visit{
		missing: c.missingSource,
		begin:   c.checkValidity,
		message: e.send,
		end:     e.settle,
	})
}

// begin waits for the destination.
func (e *exporter) begin(q *search.Query, action string) error {
	line, err := readMeta(e.in)
	if err != nil {
		return wrap(err, "no word from the destination")
	}
	if len(line) < 3 || line[0] != "GO" || line[1] != action {
		return failed(codeTemporary, "the destination wants %q, not %q", line, action)
	}
	e.dry = line[2] == "dry"
	e.c.validity = line[3:]
	if e.move && !e.dry {
		if err := q.SafeToExpunge(); err != nil {
			return failed(codeUsage, "move: %v", err)
		}
	}
	return nil
}

// readMeta reads one line of the other worker's.
func readMeta(r *bufio.Reader) ([]string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return tabline.Split(string(line[:len(line)-1])), nil
}

// send gives one message to the destination.
func (e *exporter) send(box *maildir.Mailbox, i int) error {
	e.msg.reset(box, i)
	defer e.msg.close()
	size, err := int64(0), error(nil)
	if e.dry {
		size, err = box.Size(i)
	} else if err = e.msg.open(); err == nil {
		size = e.msg.size
	}
	if err != nil {
		return unreadable{err}
	}
	received, err := box.Received(i)
	if err != nil {
		return unreadable{err}
	}
	entry := box.Entry(i)
	e.out = tabline.Append(e.out, "M", strings.ReplaceAll(box.Name, e.c.separator(), "\n"), box.GUID(), number(box.UIDValidity()), number(entry.UID),
		strconv.FormatInt(size, 10), entry.Flags.Letters(), strings.Join(box.KeywordNames(i), " "),
		strconv.FormatInt(received.Unix(), 10), box.MessageGUID(i))
	e.out = append(e.out, '\n')
	if !e.dry {
		if err := e.body(size); err != nil {
			return err
		}
	}
	e.waiting = append(e.waiting, i)
	if len(e.waiting) < window {
		if len(e.out) >= doveadmproto.MaxPacket {
			return e.flush()
		}
		return nil
	}
	return e.answer(box, window/2)
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// body sends the message's bytes. It cannot stop in the middle: a file that
// became shorter ends the whole export.
func (e *exporter) body(size int64) error {
	r := e.msg.reader()
	for at := int64(0); at < size; {
		have := len(e.out)
		if have >= doveadmproto.MaxPacket {
			if err := e.flush(); err != nil {
				return err
			}
			have = 0
		}
		n := int(min(size-at, int64(doveadmproto.MaxPacket-have)))
		e.out = append(e.out, make([]byte, n)...)
		k, err := r.ReadAt(e.out[have:], at)
		if k < n {
			e.broken = true
			return failed(codeTemporary, "message became shorter while it was read: %v", err)
		}
		at += int64(n)
	}
	return nil
}

func (e *exporter) flush() error {
	if len(e.out) == 0 {
		return nil
	}
	e.c.said = time.Now()
	err := e.c.conn.packet(doveadmproto.ChPeer, e.out)
	e.out = e.out[:0]
	return err
}

// settle waits for all answers about a mailbox.
func (e *exporter) settle(box *maildir.Mailbox) error { return e.answer(box, 0) }

// answer reads answers until no more than left are missing.
func (e *exporter) answer(box *maildir.Mailbox, left int) error {
	if err := e.flush(); err != nil {
		return err
	}
	for len(e.waiting) > left {
		b, err := e.in.ReadByte()
		switch {
		case err == io.EOF, err == nil && b == '-':
			return errEnough
		case err != nil:
			return err
		case b != '+':
			return failed(codeTemporary, "the destination answers %q", b)
		}
		i := e.waiting[0]
		e.waiting = e.waiting[1:]
		if e.move && !e.dry {
			if err := box.Expunge(i); err != nil && !errors.Is(err, maildir.ErrGone) {
				return err
			}
		}
		e.c.touched++
	}
	return nil
}

// arrival is a message on its way in.
type arrival struct {
	mailbox, boxGUID string
	validity, uid    string
	size             int64
	flags            maildir.Flags
	keywords         []string
	received         time.Time
	guid             string
}

func parseArrival(f []string) (a arrival, err error) {
	if len(f) != 10 || f[0] != "M" {
		return a, errors.New("it is no message")
	}
	size, err1 := strconv.ParseUint(f[5], 10, 63)
	received, err2 := strconv.ParseInt(f[8], 10, 64)
	_, err3 := strconv.ParseUint(f[3], 10, 32)
	_, err4 := strconv.ParseUint(f[4], 10, 32)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return a, err
	}
	if size > maxMessage {
		return a, fmt.Errorf("message of %d bytes", size)
	}
	return arrival{
		mailbox: f[1], boxGUID: f[2], validity: f[3], uid: f[4], size: int64(size), flags: flagsOfLetters(f[6]),
		keywords: strings.Fields(f[7]), received: time.Unix(received, 0), guid: f[9],
	}, nil
}

func flagsOfLetters(letters string) (f maildir.Flags) {
	for bit := maildir.Flags(1); bit != 0; bit <<= 1 {
		if l := bit.Letters(); l != "" && strings.Contains(letters, l) {
			f |= bit
		}
	}
	return f
}

// receive takes messages from another user's worker. into gives the mailbox
// for those of one of the source's, which stays open.
func (c *call) receive(action string, into func(from string) (*maildir.Mailbox, error)) (err error) {
	mode := "run"
	if c.dryRun {
		mode = "dry"
	}
	hello := tabline.Append(nil, append([]string{"GO", action, mode}, c.Values("if-uidvalidity")...)...)
	if err := c.conn.packet(doveadmproto.ChPeer, append(hello, '\n')); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.conn.packet(doveadmproto.ChPeer, []byte("-"))
		}
	}()
	in := bufio.NewReaderSize(c.input(doveadmproto.ChPeer), maxMeta)
	for {
		if err := c.step(); err != nil {
			return err
		}
		line, err := readMeta(in)
		if err != nil {
			return wrap(err, "source ended early")
		}
		if line[0] == "E" {
			return nil
		}
		a, err := parseArrival(line)
		if err != nil {
			return wrap(err, "source")
		}
		if err := c.take(a, in, action, into); err != nil {
			return err
		}
		c.touched++
		if err := c.conn.packet(doveadmproto.ChPeer, []byte("+")); err != nil {
			return err
		}
	}
}

// take saves one message, or shows that it would be.
func (c *call) take(a arrival, in *bufio.Reader, action string, into func(string) (*maildir.Mailbox, error)) error {
	from := strings.ReplaceAll(a.mailbox, "\n", c.separator())
	if c.dryRun {
		for _, cell := range []string{from, a.boxGUID, a.validity, a.uid, strconv.FormatInt(a.size, 10), action} {
			c.rows.Value(cell)
		}
		return c.rows.Row()
	}
	box, err := into(from)
	if err != nil {
		return err
	}
	body := whole{io.LimitedReader{R: in, N: a.size}}
	_, err = box.Append(maildir.Appended{
		Body: &body, Flags: a.flags, Keywords: a.keywords, Received: a.received, GUID: a.guid,
		AtLeast: a.size / 2, // CRLF may become LF
	})
	if err != nil {
		return wrap(err, "Saving message to %s failed", box.Name)
	}
	return nil
}

// whole reads so many bytes, and fails where they do not come.
type whole struct{ io.LimitedReader }

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.LimitedReader.Read(p)
	if err == io.EOF && w.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
