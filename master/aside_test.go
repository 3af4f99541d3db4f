package master

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheMastersLinesNeverWaitForStderr(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	j, err := newJournal(w)
	if err != nil {
		t.Fatal(err)
	}
	j.logless()
	const n = 4 * maxAside
	line := append(make([]byte, 2000), '\n')
	for range n { // nobody reads: a pipe holds 32 of them
		j.Write(line)
	}
	j.stderr.flush(time.Millisecond)
	lost := j.stderr.lost.Load()
	if lost == 0 {
		t.Error("nothing was lost; so somebody waited")
	}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
	j.stderr.flush(10 * time.Second)
	if got := j.stderr.lost.Load(); got != 0 {
		t.Errorf("%d lost lines were not told", got)
	}
	w.Close()
}

func TestLinesThatNoLogServiceReadReachStderr(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	j, err := newJournal(file)
	if err != nil {
		t.Fatal(err)
	}
	j.Write([]byte("E\t\tbefore\n"))
	j.logless()
	j.Write([]byte("E\t\tafter\n"))
	j.direct.Store(false) // a log service has started
	j.Write([]byte("E\t\tfor the log\n"))
	j.stderr.flush(10 * time.Second)
	const want = "culver: before\nculver: after\n"
	if got, _ := os.ReadFile(file.Name()); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	j.close(true)
	j.stderr.flush(10 * time.Second)
	if got, _ := os.ReadFile(file.Name()); string(got) != want+"culver: for the log\n" {
		t.Errorf("at the end: got %q", got)
	}
}
