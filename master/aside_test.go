package master

import (
	"bufio"
	"fmt"
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
	type count struct{ came, lost int }
	counted := make(chan count)
	go func() {
		var c count
		for in := bufio.NewScanner(r); in.Scan(); {
			var lost int
			if k, _ := fmt.Sscanf(in.Text(), "culver: stderr was full, %d lines are lost", &lost); k == 1 {
				c.lost += lost
			} else {
				c.came++
			}
		}
		counted <- c
	}()
	j.stderr.flush(10 * time.Second)
	w.Close()
	if c := <-counted; c.lost == 0 || c.came+c.lost != n {
		t.Errorf("of %d lines %d came and %d were told lost: want some lost, and all told", n, c.came, c.lost)
	}
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
