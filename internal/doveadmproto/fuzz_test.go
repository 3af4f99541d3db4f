package doveadmproto

import (
	"bufio"
	"bytes"
	"io"
	"reflect"
	"testing"
)

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{"\ta\tsearch\tall", "vDx\tk=v\ta\tmailbox list\t-A", "x\t\t\t", "\x01\t\x01t\t\x010"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, line []byte, minor int) {
		c, err := ParseCommand(line, minor)
		if err != nil {
			return
		}
		again, err := ParseCommand(c.Append(nil), MinorOwn)
		if err != nil {
			t.Fatalf("%q became %q: %v", line, c.Append(nil), err)
		}
		if len(c.Extra) == 1 && c.Extra[0] == "" {
			c.Extra = nil
		}
		if len(c.Args) == 0 {
			c.Args, again.Args = nil, nil
		}
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("%q: %#v became %#v", line, c, again)
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"\n+\n", "a\tb\x01t\t\n-NOUSER\nx", "a\x01", "\x01\n\n"} {
		f.Add([]byte(s), 2)
	}
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		read := func(n int) (got cells, status string, failed bool) {
			var r ReplyReader
			for b := in; len(b) > 0; {
				m := min(n, len(b))
				_, done, err := r.Feed(b[:m], got.Cell)
				if done || err != nil {
					if err != nil {
						return got, "", true
					}
					return got, r.Status(), false
				}
				b = b[m:]
			}
			return got, "", false // it goes on
		}
		whole, status, failed := read(len(in))
		cut, cutStatus, cutFailed := read(max(1, n))
		if status != cutStatus || failed != cutFailed || !reflect.DeepEqual(whole.all, cut.all) {
			t.Fatalf("%q: %q %q %v, in pieces of %d: %q %q %v", in, whole.all, status, failed, n, cut.all, cutStatus, cutFailed)
		}
	})
}

func FuzzPackets(f *testing.F) {
	f.Add(AppendPacket(AppendPacket(nil, ChLog, []byte("abc")), ChReply, nil), 5)
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		p := NewPacketReader(bufio.NewReaderSize(bytes.NewReader(in), 16))
		limit &= 1<<16 - 1
		var again []byte
		for {
			whole, err := p.Whole(limit)
			if err != nil {
				break
			}
			if len(whole.Data) > limit {
				t.Fatalf("%d bytes, at most %d wanted", len(whole.Data), limit)
			}
			again = append(AppendPacketHead(again, whole.Channel, len(whole.Data)), whole.Data...)
		}
		if !bytes.HasPrefix(in, again) {
			t.Fatalf("%q became %q", in, again)
		}
	})
}

func FuzzDots(f *testing.F) {
	for _, s := range []string{"", ".", "..\r\n", "a\r\n.b", "\n.\r\n.\n", ".\r\r\n", "\r\n.\r"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, msg []byte, n int) {
		wire := wired(msg, func(left int) int { return max(1, min(n, left)) })
		br := bufio.NewReaderSize(bytes.NewReader(append(wire, "next"...)), 16)
		got, err := io.ReadAll(NewDotReader(br))
		rest, _ := io.ReadAll(br)
		if !bytes.Equal(got, allCRLF(msg)) || err != nil || string(rest) != "next" {
			t.Fatalf("%q on the wire: got %q, rest %q, %v", wire, got, rest, err)
		}
	})
}
