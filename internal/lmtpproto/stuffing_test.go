package lmtpproto

import (
	"bytes"
	"strings"
	"testing"
)

func TestStuffing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", ".\r\n"},
		{"a line", "a\r\n", "a\r\n.\r\n"},
		{"a line without its end", "a", "a\r\n.\r\n"},
		{"a dot", ".\r\n", "..\r\n.\r\n"},
		{"dots inside", "a.b\r\n..c\r\n", "a.b\r\n...c\r\n.\r\n"},
		{"bare line feeds around a dot", "a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"},
		{"bare carriage returns around a dot", "a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"},
		{"a mixture that some servers end at", "a\n.\r\nRSET\r\n", "a\r\n..\r\nRSET\r\n.\r\n"},
		{"a CR at the end", "a\r", "a\r\n.\r\n"},
	} {
		for _, step := range []int{1, 2, 100} {
			var s Stuffing
			var got []byte
			for rest := tt.in; rest != ""; {
				n := min(step, len(rest))
				got = s.Append(got, []byte(rest[:n]))
				rest = rest[n:]
			}
			if got = s.End(got); string(got) != tt.want {
				t.Errorf("%s, %d bytes at a time: got %q, want %q", tt.name, step, got, tt.want)
			}
		}
	}
}

// FuzzStuffing: what a receiver undoes is the message with CRLF line ends, and
// no line end stands alone on the wire.
func FuzzStuffing(f *testing.F) {
	f.Add([]byte("a\n.\r\nb\r.\r\n"), 1)
	f.Fuzz(func(t *testing.T, msg []byte, step int) {
		step = max(1, step%16)
		var s Stuffing
		var wire []byte
		for rest := msg; len(rest) > 0; {
			n := min(step, len(rest))
			wire = s.Append(wire, rest[:n])
			rest = rest[n:]
		}
		wire = s.End(wire)
		bare := bytes.ReplaceAll(wire, []byte("\r\n"), nil)
		if bytes.ContainsAny(bare, "\r\n") {
			t.Fatalf("%q has a bare line end", wire)
		}
		var d Dots
		got, taken, end := d.Append(nil, wire)
		if !end || taken != len(wire) {
			t.Fatalf("%q ends at %d of %d (%v)", wire, taken, len(wire), end)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(string(msg), "\r\n", "\n"), "\r", "\n"), "\n", "\r\n")
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if string(got) != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
