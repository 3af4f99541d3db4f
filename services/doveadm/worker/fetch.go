package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/mailmessage"
	"culver/internal/mailstore/maildir"
)

// fetch prints the asked fields of each message that matches. A mailbox that is
// missing has no messages, which is no error (spec/doveadm.md 4.1).
func (c *call) fetch() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	fields := make([]fetchField, len(c.Fields()))
	for i, name := range c.Fields() {
		if fields[i], err = fetchFieldNamed(name); err != nil {
			return err
		}
	}
	f := fetching{c: c}
	defer f.close()
	return c.each(q, visit{
		missing: func(name string, err error) {
			if !errors.Is(err, maildir.ErrNoFolder) {
				c.fail(wrap(err, "Syncing mailbox %s failed", name))
			}
		},
		message: func(box *maildir.Mailbox, i int) error { return f.row(box, i, fields) },
	})
}

// fetchField is how one field of a message is found. Exactly one of the two is
// set.
type fetchField struct {
	name   string
	opens  bool // needs the message's file
	value  func(*fetching) (string, error)
	stream func(*fetching, io.Writer) error
}

// fetching is the message whose row is printed, and what was found out about it.
type fetching struct {
	c       *call
	message message
	box     *maildir.Mailbox
	i       int
	header  *mailmessage.Header
	root    *mailmessage.Part
}

func (f *fetching) close() { f.message.close() }

// row prints one message. One that is gone by now has none. A field that cannot
// be read is an empty cell and an error, and the row keeps its shape.
func (f *fetching) row(box *maildir.Mailbox, i int, fields []fetchField) error {
	f.message.close()
	f.message.reset(box, i)
	f.box, f.i, f.header, f.root = box, i, nil, nil
	values := make([]string, len(fields))
	errs := make([]error, len(fields))
	for n, field := range fields {
		if field.opens && f.message.src == nil {
			if errs[n] = f.message.open(); errors.Is(errs[n], maildir.ErrGone) {
				return nil
			}
		}
		if errs[n] == nil && field.value != nil {
			if values[n], errs[n] = field.value(f); errors.Is(errs[n], maildir.ErrGone) {
				return nil
			}
		}
	}
	f.c.touched++
	for n, field := range fields {
		if errs[n] == nil && field.stream != nil {
			w := f.c.rows.Stream()
			errs[n] = field.stream(f, beating{f.c, w})
			w.Close()
		} else {
			f.c.rows.Value(values[n])
		}
	}
	for n, err := range errs {
		if err != nil {
			f.c.fail(wrap(err, "fetch(%s) failed for mailbox %s uid %d", fields[n].name, box.Name, box.Entry(i).UID))
		}
	}
	return f.c.rows.Row()
}

// beating tells the front that we work while a large value is written.
type beating struct {
	c *call
	w io.Writer
}

func (b beating) Write(p []byte) (int, error) {
	b.c.beat()
	return b.w.Write(p)
}

func fetchFieldNamed(name string) (fetchField, error) {
	f := fetchField{name: name}
	if value := plainFields()[name]; value != nil {
		f.value = value
		return f, nil
	}
	f.opens = true
	var err error
	switch kind, rest, _ := strings.Cut(name, "."); {
	case messageFields()[name] != nil:
		f.value = messageFields()[name]
	case streamFields()[name] != nil:
		f.stream = streamFields()[name]
	case kind == "hdr":
		f.value, err = headerField(rest)
	case kind == "body" || kind == "binary":
		f.stream, err = sectionField(rest, kind == "binary")
	default:
		err = errors.New("unknown field")
	}
	if err != nil {
		return f, failed(doveadmproto.Usage, "fetch: %s: %v", name, err)
	}
	return f, nil
}

// plainFields need no look at the message's text, or find it themselves.
func plainFields() map[string]func(*fetching) (string, error) {
	return map[string]func(*fetching) (string, error){
		"user":         func(f *fetching) (string, error) { return f.c.user, nil },
		"mailbox":      func(f *fetching) (string, error) { return f.box.Name, nil },
		"mailbox-guid": func(f *fetching) (string, error) { return f.box.GUID(), nil },
		"seq":          func(f *fetching) (string, error) { return strconv.Itoa(f.i + 1), nil },
		"uid":          func(f *fetching) (string, error) { return strconv.FormatUint(uint64(f.box.Entry(f.i).UID), 10), nil },
		"guid":         func(f *fetching) (string, error) { return f.box.MessageGUID(f.i), nil },
		"storageid":    func(f *fetching) (string, error) { return f.box.Base(f.i), nil },
		"flags":        func(f *fetching) (string, error) { return f.flags(), nil },
		"refcount":     func(*fetching) (string, error) { return "1", nil },
		"pop3.uidl":    func(f *fetching) (string, error) { return f.box.POP3UIDL(f.i), nil },
		"pop3.order":   func(f *fetching) (string, error) { return f.box.POP3Order(f.i), nil },
		// Known to Dovecot's index alone (spec/maildir.md 13), or to releases whose
		// form was not seen.
		"modseq":     func(*fetching) (string, error) { return "", nil },
		"mime.parts": func(*fetching) (string, error) { return "", nil },

		"size.physical": func(f *fetching) (string, error) { return size(f.box.Size(f.i)) },
		"size.virtual":  func(f *fetching) (string, error) { return size(f.box.Virtual(f.i)) },

		"date.received":          func(f *fetching) (string, error) { return f.clock(f.box.Received(f.i)) },
		"date.saved":             func(f *fetching) (string, error) { return f.clock(f.box.Saved(f.i)) },
		"date.received.unixtime": func(f *fetching) (string, error) { return seconds(f.box.Received(f.i)) },
		"date.saved.unixtime":    func(f *fetching) (string, error) { return seconds(f.box.Saved(f.i)) },
	}
}

// messageFields are made of the message's text.
func messageFields() map[string]func(*fetching) (string, error) {
	return map[string]func(*fetching) (string, error){
		"date.sent": func(f *fetching) (string, error) {
			at, err := f.sent()
			return at.In(f.c.zone()).Format(clockForm) + at.Format(" (-0700)"), err
		},
		"date.sent.unixtime": func(f *fetching) (string, error) { return seconds(f.sent()) },
		"imap.envelope": func(f *fetching) (string, error) {
			h, err := f.head()
			return h.Envelope(), err
		},
		"imap.body":          func(f *fetching) (string, error) { return f.structure(false) },
		"imap.bodystructure": func(f *fetching) (string, error) { return f.structure(true) },
		"body.snippet":       (*fetching).snippet,
		"body.preview":       (*fetching).snippet,
	}
}

// streamFields are written as they are read.
func streamFields() map[string]func(*fetching, io.Writer) error {
	return map[string]func(*fetching, io.Writer) error{
		"hdr": func(f *fetching, w io.Writer) error {
			end, err := f.headerSize()
			return errors.Join(err, f.copy(w, 0, end))
		},
		"body": func(f *fetching, w io.Writer) error {
			end, err := f.headerSize()
			return errors.Join(err, f.copy(w, end, f.message.size))
		},
		"text": func(f *fetching, w io.Writer) error { return f.copy(w, 0, f.message.size) },
		"text.utf8": func(f *fetching, w io.Writer) error {
			root, err := f.parts()
			if err != nil {
				return err
			}
			return root.WriteText(w, f.message.whole())
		},
	}
}

// clockForm is how a time is shown, in the server's zone.
const clockForm = "2006-01-02 15:04:05"

func (f *fetching) clock(at time.Time, err error) (string, error) {
	return at.In(f.c.zone()).Format(clockForm), err
}

func seconds(at time.Time, err error) (string, error) { return strconv.FormatInt(at.Unix(), 10), err }

func size(n int64, err error) (string, error) { return strconv.FormatInt(n, 10), err }

// flags are printed in the order of Dovecot's.
func (f *fetching) flags() string {
	e := f.box.Entry(f.i)
	var all []string
	for _, flag := range [...]struct {
		bit  maildir.Flags
		name string
	}{
		{maildir.Answered, `\Answered`}, {maildir.Flagged, `\Flagged`}, {maildir.Deleted, `\Deleted`},
		{maildir.Seen, `\Seen`}, {maildir.Draft, `\Draft`},
	} {
		if e.Flags&flag.bit != 0 {
			all = append(all, flag.name)
		}
	}
	if e.Recent {
		all = append(all, `\Recent`)
	}
	return strings.Join(append(all, f.box.KeywordNames(f.i)...), " ")
}

// head reads the header's fields, once.
func (f *fetching) head() (mailmessage.Header, error) {
	if f.header == nil {
		block, err := f.message.head()
		if err != nil {
			return mailmessage.Header{}, err
		}
		h := mailmessage.ParseHeader(block)
		f.header = &h
	}
	return *f.header, nil
}

// headerSize is the header's, its empty line included, however long it is.
func (f *fetching) headerSize() (int64, error) {
	block, err := f.message.head()
	if err != nil || len(block) < mailmessage.MaxHeader {
		return int64(len(block)), err
	}
	root, err := f.parts()
	if err != nil {
		return 0, err
	}
	return root.Body, nil
}

// parts reads the message's structure, once.
func (f *fetching) parts() (root *mailmessage.Part, err error) {
	if f.root == nil {
		f.c.beat()
		f.root, err = mailmessage.Parse(f.message.whole(), f.message.size)
	}
	return f.root, err
}

func (f *fetching) copy(w io.Writer, from, to int64) error {
	_, err := io.Copy(w, io.NewSectionReader(f.message.whole(), from, to-from))
	return err
}

// sent is the Date field's time; 1970 where there is none.
func (f *fetching) sent() (time.Time, error) {
	h, err := f.head()
	if err == nil {
		if date, ok := h.Get("Date"); ok {
			if at, ok := mailmessage.SentDate(date.Text()); ok {
				return at, nil
			}
		}
	}
	return time.Unix(0, 0).UTC(), err
}

func (f *fetching) structure(extended bool) (string, error) {
	root, err := f.parts()
	if err != nil {
		return "", err
	}
	return root.BodyStructure(extended), nil
}

func (f *fetching) snippet() (string, error) {
	root, err := f.parts()
	if err != nil {
		return "", err
	}
	return root.Snippet(f.message.whole())
}

// headerField gives what hdr.NAME and its filters print: one line for each
// field, or for each address in them.
func headerField(rest string) (func(*fetching) (string, error), error) {
	name, filter, _ := strings.Cut(rest, ".")
	var text func(mailmessage.Field) []string
	switch filter {
	case "":
		text = func(h mailmessage.Field) []string {
			return []string{string(bytes.ReplaceAll(h.Raw, []byte("\r\n"), []byte("\n")))}
		}
	case "utf8":
		text = func(h mailmessage.Field) []string { return []string{h.Decoded()} }
	case "address":
		text = addresses(mailmessage.Address.String)
	case "address_name":
		text = addresses(func(a mailmessage.Address) string { return a.Name })
	case "address_name.utf8":
		text = addresses(func(a mailmessage.Address) string { return mailmessage.DecodeWords(a.Name) })
	default:
		return nil, fmt.Errorf("unknown filter %q, want utf8, address, address_name or address_name.utf8", filter)
	}
	return func(f *fetching) (string, error) {
		h, err := f.head()
		var lines []string
		for _, field := range h.All(name) {
			lines = append(lines, text(field)...)
		}
		return strings.Join(lines, "\n"), err
	}, nil
}

func addresses(show func(mailmessage.Address) string) func(mailmessage.Field) []string {
	return func(h mailmessage.Field) (lines []string) {
		for _, a := range mailmessage.Addresses(h.Text()) {
			lines = append(lines, show(a))
		}
		return lines
	}
}

// sectionField gives what body.SECTION and binary.SECTION print; nothing where
// the message has no such part.
func sectionField(rest string, binary bool) (func(*fetching, io.Writer) error, error) {
	s, err := mailmessage.ParseSection(rest)
	if err != nil {
		return nil, err
	}
	return func(f *fetching, w io.Writer) error {
		root, err := f.parts()
		if err != nil {
			return err
		}
		if in := root.Read(f.message.whole(), s, binary); in != nil {
			_, err = io.Copy(w, mailmessage.CRLF(in))
		}
		return err
	}, nil
}

// whole is all of the message, for who reads here and there in it.
func (m *message) whole() io.ReaderAt {
	if m.src.Compressed() {
		return bytes.NewReader(m.buf[:m.n])
	}
	return m.src
}
