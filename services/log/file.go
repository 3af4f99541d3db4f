package log

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"culver/internal/maillog/logline"
)

// checkEvery bounds how long lines go on into a file that was moved away
// without a signal, and how often a path that fails is tried.
const checkEvery = time.Second

// File appends to one path, or to a stream that is already open.
type File struct {
	Path string // "" for Stream alone
	// Stream is the master's standard error: the place itself where Path is "",
	// else the last resort for lines that the file does not take.
	Stream io.Writer
	Stamp  Stamp

	file    *os.File
	checked time.Time
	buf     []byte
	torn    bool // the file ends in half a line
	lost    losses
}

// losses are lines that an output could not take.
type losses struct {
	count int
	err   error
}

func (l *losses) add(n int, err error) {
	l.count += n
	l.err = err
}

// notice is what is said as soon as the output works again.
func (l *losses) notice(where string) []byte {
	return fmt.Appendf(nil, "%d lines could not be written to %s and went to the master's standard error: %v", l.count, where, l.err)
}

// Put takes one line.
func (f *File) Put(now time.Time, l logline.Level, who, text []byte) {
	f.buf = f.line(f.buf, now, l, who, text)
}

func (f *File) line(out []byte, now time.Time, l logline.Level, who, text []byte) []byte {
	out = f.Stamp.Append(out, now)
	out = append(out, who...)
	out = append(out, levelName(l)...)
	out = append(out, ": "...)
	out = append(out, text...)
	return append(out, '\n')
}

// Flush writes with a single write, so that other writers of an O_APPEND file
// come between lines and not into them.
func (f *File) Flush(now time.Time) {
	if len(f.buf) == 0 {
		return
	}
	defer func() { f.buf = f.buf[:0] }()
	if f.Path == "" {
		f.Stream.Write(f.buf) // nowhere is left to tell an error
		return
	}
	if now.Sub(f.checked) >= checkEvery || now.Before(f.checked) {
		f.check(now)
	}
	if f.file == nil {
		f.lost.add(bytes.Count(f.buf, []byte{'\n'}), f.lost.err)
		f.Stream.Write(f.buf)
		return
	}
	f.write(now)
}

// write writes the lines, after word of those that were lost before.
func (f *File) write(now time.Time) {
	var head []byte
	if f.torn {
		head = append(head, '\n')
	}
	if f.lost.count > 0 {
		head = f.line(head, now, logline.Error, []byte("log: "), f.lost.notice(f.Path))
	}
	out := append(head, f.buf...)
	n, err := f.file.Write(out)
	if err == nil {
		f.torn, f.lost = false, losses{}
		return
	}
	// A full disk takes a part. Lines whose end it has not got count as lost;
	// half a line is ended before the next one.
	if n > 0 {
		f.torn = out[n-1] != '\n'
	}
	rest := f.buf
	if n > len(head) {
		rest = f.buf[n-len(head):]
		f.lost = losses{}
	}
	f.lost.add(bytes.Count(rest, []byte{'\n'}), err)
	f.Stream.Write(rest)
}

// check opens the path unless the open file is still the one that has its name.
func (f *File) check(now time.Time) {
	f.checked = now
	if f.file != nil {
		named, err := os.Stat(f.Path)
		open, oerr := f.file.Stat()
		if err == nil && oerr == nil && os.SameFile(named, open) {
			return
		}
	}
	f.open()
}

// open opens the path anew. Where that fails, lines go on into the old file if
// there is one: a file without a name still has readers.
func (f *File) open() {
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		f.lost.err = err
		return
	}
	if f.file != nil {
		f.file.Close()
	}
	f.file, f.torn = file, false
}

// Reopen opens the path again now, or at the next line where it is not open.
func (f *File) Reopen() {
	f.checked = time.Time{}
	if f.file != nil {
		f.open()
	}
}
