package doveadmproto

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// splits calls f with in cut in two at each place, and byte by byte.
func splits(in string, f func(name string, r io.Reader)) {
	for i := range len(in) + 1 {
		f(in[:i]+"|", io.MultiReader(strings.NewReader(in[:i]), strings.NewReader(in[i:])))
	}
	f("byte by byte", iotest.OneByteReader(strings.NewReader(in)))
}

func TestInputLosesItsDotsAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in, want, rest string
		err                  error
	}{
		{"an empty message", ".\r\nnext", "", "next", nil},
		{"as the sender ends it", "\r\n.\r\nnext", "", "next", nil},
		{"one line end before the dot is the sender's", "a\r\nb\r\n\r\n.\r\nnext", "a\r\nb\r\n", "next", nil},
		{"without it the last line loses its own", "a\r\n.\r\n", "a", "", nil},
		{"stuffed dots", "..\r\n..x\r\n...\r\n\r\n.\r\n", ".\r\n.x\r\n..\r\n", "", nil},
		{"a dot that should have been stuffed", ".x\r\n\r\n.\r\n", "x\r\n", "", nil},
		{"LF . LF is data", "a\n.\n\tmallory\texpunge\r\n.\r\n", "a\n.\n\tmallory\texpunge", "", nil},
		{"LF . CRLF is data", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb", "", nil},
		{"CRLF . LF is data", "a\r\n.\nb\r\n.\r\n", "a\r\n\nb", "", nil},
		{"CRs that end nothing", "\ra\r\r\n\r\n.\r\n", "\ra\r\r\n", "", nil},
		{"NUL and 8 bit", "\x00\xff\r\n.\r\n", "\x00\xff", "", nil},
		{"no end", "a\r\n.", "a\r\n", "", io.ErrUnexpectedEOF},
		{"no end after a dot and CR", "a\r\n.\r", "a\r\n", "", io.ErrUnexpectedEOF},
		{"nothing", "", "", "", io.ErrUnexpectedEOF},
		{"a line longer than the buffer", strings.Repeat("x", 40) + "\r\n\r\n.\r\n", strings.Repeat("x", 40) + "\r\n", "", nil},
		{"a CR where the buffer ends", strings.Repeat("x", 15) + "\r\n.\r\n", strings.Repeat("x", 15), "", nil},
	} {
		splits(tt.in, func(name string, r io.Reader) {
			br := bufio.NewReaderSize(r, 16)
			got, err := io.ReadAll(NewDotReader(br))
			rest, _ := io.ReadAll(br)
			if tt.err != nil {
				// What came of the last line is of no use; the error says so.
				if !errors.Is(err, tt.err) {
					t.Errorf("%s, %q: error %v, want %v", tt.name, name, err, tt.err)
				}
				return
			}
			if string(got) != tt.want || string(rest) != tt.rest || err != nil {
				t.Errorf("%s, %q: got %q, rest %q, %v, want %q, rest %q", tt.name, name, got, rest, err, tt.want, tt.rest)
			}
		})
	}
}

// wired is msg as it goes over the wire.
func wired(msg []byte, pieces func(n int) int) []byte {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	d := NewDotWriter(w)
	for len(msg) > 0 {
		n := pieces(len(msg))
		d.Write(msg[:n])
		msg = msg[n:]
	}
	d.Close()
	w.Flush()
	return out.Bytes()
}

func TestInputArrivesWithCRLF(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		msg := []byte(rapid.StringMatching(`([ab.\r\n]|\r\n|\n\.)*`).Draw(t, "msg"))
		wire := wired(msg, func(n int) int { return rapid.IntRange(1, n).Draw(t, "piece") })
		got, err := io.ReadAll(NewDotReader(bufio.NewReaderSize(bytes.NewReader(wire), 16)))
		if want := allCRLF(msg); !bytes.Equal(got, want) || err != nil {
			t.Fatalf("%q on the wire: got %q, %v, want %q", wire, got, err, want)
		}
	})
}

// allCRLF gives each LF its CR.
func allCRLF(msg []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(msg, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// cells keeps a reply.
type cells struct {
	all  []string
	open string
	logs []string
	n    int64
}

func (c *cells) Cell(b []byte, last bool) error {
	if c.open += string(b); last {
		c.all, c.open = append(c.all, c.open), ""
	}
	return nil
}

func (c *cells) Log(level byte, text string) {
	c.logs = append(c.logs, string(rune('0'+level))+text)
}
func (c *cells) Touched(n int64) { c.n = n }

func TestAReplyIsTheSameHoweverItIsCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		cells    []string
		status   string
	}{
		{"no values", "\n+\n", nil, "+"},
		{"two rows", "a\t1\tb\t2\t\n+\n", []string{"a", "1", "b", "2"}, "+"},
		{"empty values", "\t\t\n-NOTFOUND\n", []string{"", ""}, "-NOTFOUND"},
		{"all escapes", "\x010\x011\x01t\x01r\x01n\t\n+\n", []string{"\x00\x01\t\r\n"}, "+"},
		{"an escape of something else", "a\x01xb\t\n+\n", []string{"axb"}, "+"},
		{"text after the plus", "\n+ok now\n", nil, "+ok now"},
		{"a bare minus", "\n-\n", nil, "-"},
		{"a CR in a status line", "\n+\r\n", nil, "+"},
	} {
		splits(tt.in+"rest", func(name string, r io.Reader) {
			var reply ReplyReader
			var got cells
			buf := make([]byte, 64)
			for {
				n, err := r.Read(buf)
				if err != nil {
					t.Errorf("%s, %q: it never ended", tt.name, name)
					return
				}
				rest, done, err := reply.Feed(buf[:n], got.Cell)
				if err != nil {
					t.Errorf("%s, %q: %v", tt.name, name, err)
					return
				}
				if done {
					if !strings.HasPrefix("rest", string(rest)) {
						t.Errorf("%s, %q: rest %q", tt.name, name, rest)
					}
					break
				}
			}
			if strings.Join(got.all, "|") != strings.Join(tt.cells, "|") || len(got.all) != len(tt.cells) || reply.Status() != tt.status {
				t.Errorf("%s, %q: got %q %q, want %q %q", tt.name, name, got.all, reply.Status(), tt.cells, tt.status)
			}
		})
	}
}

func TestABrokenReplyIsAnError(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"a value without TAB":      "abc\n+\n",
		"a value that only begins": "a\tb\n+\n",
		"an escape as a value":     "\x01\n\n+\n",
		"an endless status":        "\n" + strings.Repeat("-", MaxStatus+1),
	} {
		var reply ReplyReader
		if _, done, err := reply.Feed([]byte(in), (&cells{}).Cell); err == nil && !done {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.SliceOf(rapid.SampledFrom([]byte("ab\x00\x01\t\r\n\xff01trn")))).Draw(t, "values")
		var wire bytes.Buffer
		packets := NewPacketWriter(&wire)
		w := NewReplyWriter(func(b []byte) error { return packets.Packet(ChReply, b) })
		for _, v := range want {
			if rapid.Bool().Draw(t, "streamed") {
				s := w.Stream()
				n := rapid.IntRange(0, len(v)).Draw(t, "cut")
				s.Write(v[:n])
				s.Write(v[n:])
				s.Close()
			} else {
				w.Value(string(v))
			}
			if rapid.Bool().Draw(t, "row") {
				w.Row()
			}
			if rapid.Bool().Draw(t, "log") {
				w.Flush()
				packets.Packet(ChLog, AppendLog(nil, LogInfo, "p: ", "x"))
			}
		}
		w.Status("+")
		var got cells
		var reply ReplyReader
		var logs LogReader
		in := NewPacketReader(bufio.NewReaderSize(iotest.HalfReader(&wire), 16))
		for done := false; !done; {
			p, err := in.Next()
			if err != nil {
				t.Fatalf("%v", err)
			}
			if p.Channel == ChLog {
				logs.Feed(p.Data, got.Log)
				continue
			}
			if _, done, err = reply.Feed(p.Data, got.Cell); err != nil {
				t.Fatalf("%v", err)
			}
		}
		if len(got.all) != len(want) || reply.Status() != "+" {
			t.Fatalf("got %q, want %q", got.all, want)
		}
		for i, v := range want {
			if got.all[i] != string(v) {
				t.Fatalf("value %d is %q, want %q", i, got.all[i], v)
			}
		}
	})
}

func TestPacketsAreTheSameHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	in := string(AppendPacket(AppendPacket(AppendPacket(nil, ChLog, nil), ChReply, []byte("a value\t")), ChBeat, []byte("x")))
	splits(in, func(name string, r io.Reader) {
		p := NewPacketReader(bufio.NewReaderSize(r, 16))
		got := ""
		for {
			whole, err := p.Whole(8)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			got += string(rune(whole.Channel)) + string(whole.Data) + "|"
		}
		if got != "L|\x00a value\t|Bx|" {
			t.Errorf("%q: got %q", name, got)
		}
	})
	for i := 1; i < len(in); i++ {
		p := NewPacketReader(bufio.NewReader(strings.NewReader(in[:i])))
		var err error
		for err == nil {
			_, err = p.Whole(8)
		}
		if whole := i == 5 || i == 18; (err == io.EOF) != whole {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
}

func TestAPacketBeyondItsLimitIsRefusedBeforeItIsHere(t *testing.T) {
	t.Parallel()
	p := NewPacketReader(bufio.NewReader(strings.NewReader("L\xff\xff\xff\xffabc")))
	if _, err := p.Whole(1000); err != ErrPacket {
		t.Errorf("got %v", err)
	}
}

func TestLargeDataBecomesSeveralPackets(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte("0123456789"), 10000)
	for name, wire := range map[string][]byte{
		"AppendPacket": AppendPacket(nil, ChPeer, want),
		"Packet":       func() []byte { var b bytes.Buffer; NewPacketWriter(&b).Packet(ChPeer, want); return b.Bytes() }(),
	} {
		var got []byte
		p := NewPacketReader(bufio.NewReader(bytes.NewReader(wire)))
		n := 0
		for {
			whole, err := p.Whole(MaxPacket)
			if err == io.EOF {
				break
			}
			if err != nil || whole.Channel != ChPeer {
				t.Fatalf("%s: %v, channel %q", name, err, whole.Channel)
			}
			got = append(got, whole.Data...)
			n++
		}
		if !bytes.Equal(got, want) || n != 4 {
			t.Errorf("%s: %d bytes in %d packets", name, len(got), n)
		}
	}
}
