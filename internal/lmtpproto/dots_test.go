package lmtpproto

import (
	"bytes"
	"testing"
)

// decode feeds in to Dots in pieces of n bytes.
func decode(in []byte, n int) (data []byte, rest []byte, end bool) {
	var d Dots
	for len(in) > 0 && !end {
		var taken int
		before := len(data)
		piece := in[:min(n, len(in))]
		data, taken, end = d.Append(data, piece)
		if len(data)-before > len(piece)+1 {
			panic("more came out than went in")
		}
		in = in[taken:]
	}
	return data, in, end
}

func TestDots(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in, want, rest string
		end                  bool
	}{
		{"an empty message", ".\r\nQUIT", "", "QUIT", true},
		{"one line", "a\r\n.\r\nQUIT", "a\r\n", "QUIT", true},
		{"a stuffed dot", "..\r\n..x\r\n.\r\n", ".\r\n.x\r\n", "", true},
		{"a dot that should have been stuffed", ".x\r\n.\r\n", "x\r\n", "", true},
		{"LF . LF is data", "a\n.\nMAIL\r\n.\r\n", "a\n.\nMAIL\r\n", "", true},
		{"LF . CRLF is data", "a\n.\r\nMAIL\r\n.\r\n", "a\n.\r\nMAIL\r\n", "", true},
		{"CRLF . LF is data", "a\r\n.\nMAIL\r\n.\r\n", "a\r\n.\nMAIL\r\n", "", true},
		{"CR . CR is data", "a\r.\rMAIL\r\n.\r\n", "a\r.\rMAIL\r\n", "", true},
		{"CR . CRLF is data", "a\r.\r\nMAIL\r\n.\r\n", "a\r.\r\nMAIL\r\n", "", true},
		{"CRLF . CR is data", "a\r\n.\rMAIL\r\n.\r\n", "a\r\n\rMAIL\r\n", "", true},
		{"CRLF . CR CRLF is data", "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", "", true},
		{"CR CRLF . CRLF is the end", "a\r\r\n.\r\n", "a\r\r\n", "", true},
		{"NUL and 8 bit", "\x00\xff\r\n.\r\n", "\x00\xff\r\n", "", true},
		{"no end", "a\r\n.", "a\r\n", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := 1; n <= len(tt.in); n++ {
				data, rest, end := decode([]byte(tt.in), n)
				if string(data) != tt.want || string(rest) != tt.rest || end != tt.end {
					t.Errorf("in pieces of %d: got %q %q %v, want %q %q %v", n, data, rest, end, tt.want, tt.rest, tt.end)
				}
			}
		})
	}
}

// stuffed is what a client sends that leaves bare line ends alone.
func stuffed(msg []byte) (out []byte) {
	for line := range bytes.SplitAfterSeq(msg, []byte("\r\n")) {
		if len(line) > 0 && line[0] == '.' {
			out = append(out, '.')
		}
		out = append(out, line...)
	}
	if !bytes.HasSuffix(msg, []byte("\r\n")) && len(msg) > 0 {
		out = append(out, "\r\n"...)
	}
	return append(out, ".\r\n"...)
}

func FuzzDots(f *testing.F) {
	for _, s := range []string{"", ".", "..\r\n", "a\r\n.b", "\n.\r\n.\n", ".\r\r\n", "\r\n.\r"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, msg []byte, n int) {
		n = max(1, n)
		wire := stuffed(msg)
		data, rest, end := decode(append(wire, "QUIT"...), n)
		if !bytes.HasSuffix(msg, []byte("\r\n")) && len(msg) > 0 {
			msg = append(msg, "\r\n"...)
		}
		if !end || string(rest) != "QUIT" || !bytes.Equal(data, msg) {
			t.Errorf("got %q, rest %q, end %v, want %q", data, rest, end, msg)
		}
		whole, _, wholeEnd := decode(msg, len(msg)+1)
		pieces, _, piecesEnd := decode(msg, n)
		if !bytes.Equal(whole, pieces) || wholeEnd != piecesEnd {
			t.Errorf("whole %q %v, in pieces %q %v", whole, wholeEnd, pieces, piecesEnd)
		}
	})
}
