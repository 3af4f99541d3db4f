package lmtpproto

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestReadReply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     Reply
		err      error
	}{
		{"one line", "250 2.1.5 OK\r\n", Reply{Code: 250, Enhanced: "2.1.5", Text: "OK"}, nil},
		{"code alone", "221\n", Reply{Code: 221}, nil},
		{"several lines", "250-vm\r\n250-XFD\r\n250 PIPELINING\r\n", Reply{Code: 250, Text: "vm", More: []string{"XFD", "PIPELINING"}}, nil},
		{"an enhanced code of another class is text", "550 2.1.5 OK\r\n", Reply{Code: 550, Text: "2.1.5 OK"}, nil},
		{"control bytes are taken away", "250 a\x1b[2J\xff\r\n", Reply{Code: 250, Text: "a?[2J?"}, nil},
		{"the end before a reply", "", Reply{}, io.EOF},
		{"the end within a line", "250 2.", Reply{}, io.ErrUnexpectedEOF},
		{"the end between lines", "250-vm\r\n", Reply{}, io.ErrUnexpectedEOF},
		{"codes that differ", "250-vm\r\n251 x\r\n", Reply{}, ErrReply},
		{"no code", "hello\r\n", Reply{}, ErrReply},
		{"a code of four digits", "2500 x\r\n", Reply{}, ErrReply},
		{"a line without end", strings.Repeat("2", 1<<20), Reply{}, ErrReply},
		{"65 lines", strings.Repeat("250-x\r\n", 65) + "250 x\r\n", Reply{}, ErrReply},
		{"a line of 1025 bytes", "250 " + strings.Repeat("x", MaxReplyLine-5) + "\r\n", Reply{}, ErrReply},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadReply(bufio.NewReaderSize(strings.NewReader(tt.in), 2048))
			if !reflect.DeepEqual(got, tt.want) || !errors.Is(err, tt.err) {
				t.Errorf("got %#v, %v, want %#v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestReplyTextCannotEndTheLine(t *testing.T) {
	t.Parallel()
	got := string(Reply{Code: 550, Enhanced: "5.1.1", Text: "<a\r\n250 x> no"}.Append(nil))
	if want := "550 5.1.1 <a??250 x> no\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := len(Reply{Code: 250, Text: strings.Repeat("x", 5000)}.Append(nil)); got != MaxReplyLine {
		t.Errorf("got a line of %d bytes, want %d", got, MaxReplyLine)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"250-a\r\n250 b\r\n", "451 4.3.0 <x> no\r\n", "2", "250\n", "999 x\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := ReadReply(bufio.NewReaderSize(bytes.NewReader(in), 2048))
		if err != nil {
			return
		}
		if len(r.More) >= MaxReplyLines {
			t.Fatalf("%d lines", len(r.More)+1)
		}
		out := r.Append(nil)
		again, err := ReadReply(bufio.NewReaderSize(bytes.NewReader(out), 2048))
		// A first line whose text looks like an enhanced code loses no byte on the
		// wire, so the wire form is what must be stable. (Cleaning can lengthen a
		// line past its limit; then it is cut, once.)
		if err != nil || len(out) < MaxReplyLine && !bytes.Equal(again.Append(nil), out) {
			t.Errorf("%q: wrote %q, read %#v, %v", in, out, again, err)
		}
	})
}
