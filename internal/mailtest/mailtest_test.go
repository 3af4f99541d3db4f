package mailtest

import (
	"runtime"
	"testing"
)

// recorder is a testing.TB that remembers how a test would have ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()          {}
func (r *recorder) Skip(args ...any) { r.skipped = args[0].(string); runtime.Goexit() }
func (r *recorder) Fatal(args ...any) {
	r.failed = args[0].(string)
	runtime.Goexit()
}

// need runs one need to its end, which may be Goexit.
func need(f func(testing.TB)) *recorder {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

// The environment is the process's own, so this test cannot be parallel.
func TestNeedProgram(t *testing.T) {
	absent := func(t testing.TB) { NeedProgram(t, "no-such-program", "no-such-package") }
	present := func(t testing.TB) { NeedProgram(t, "go", "golang") }
	for _, tt := range []struct {
		name         string
		ci           string
		need         func(testing.TB)
		skips, fails bool
	}{
		{"a program that is there is no obstacle", "1", present, false, false},
		{"a missing program skips on a desk", "", absent, true, false},
		{"a missing program fails in CI", "1", absent, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CULVER_CI", tt.ci)
			r := need(tt.need)
			if skips, fails := r.skipped != "", r.failed != ""; skips != tt.skips || fails != tt.fails {
				t.Errorf("got skip %q, failure %q; want skip %v, failure %v", r.skipped, r.failed, tt.skips, tt.fails)
			}
		})
	}
}
