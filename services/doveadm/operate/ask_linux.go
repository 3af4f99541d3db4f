package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"culver/internal/password"
)

// Asker gives an Env.Password that asks on a terminal, or nil if in is none. The
// end of ctx ends the question, and the terminal echoes again.
func Asker(ctx context.Context, in io.Reader, prompts io.Writer) func(string) (string, error) {
	f, ok := in.(*os.File)
	if !ok {
		return nil
	}
	before, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil
	}
	return func(prompt string) (string, error) {
		silent := *before
		silent.Lflag &^= unix.ECHO
		silent.Lflag |= unix.ICANON | unix.ISIG
		if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETSF, &silent); err != nil {
			return "", err
		}
		defer unix.IoctlSetTermios(int(f.Fd()), unix.TCSETSF, before)
		fmt.Fprint(prompts, prompt)
		defer fmt.Fprintln(prompts)
		type answer struct {
			text string
			err  error
		}
		got := make(chan answer, 1)
		go func() {
			text, err := line(f)
			got <- answer{text, err}
		}()
		select {
		case a := <-got:
			return a.text, a.err
		case <-ctx.Done():
			return "", errors.New("interrupted")
		}
	}
}

// line reads up to a line end, and no byte after it: the next question has a
// line of its own.
func line(r io.Reader) (string, error) {
	var b strings.Builder
	one := make([]byte, 1)
	for b.Len() <= password.MaxPassword {
		n, err := r.Read(one)
		switch {
		case n == 1 && one[0] == '\n':
			return b.String(), nil
		case n == 1:
			b.WriteByte(one[0])
		case errors.Is(err, io.EOF) && b.Len() > 0:
			return b.String(), nil
		case err != nil:
			return "", err
		}
	}
	return "", password.ErrLong
}
