package worker

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/mailstore/maildir"
)

// packed is a gz message of so many bytes after its header.
func packed(t *testing.T, zeros int) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte("Subject: packed\n\nneedle\n"))
	for piece := make([]byte, 1<<20); zeros > 0; zeros -= len(piece) {
		w.Write(piece)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAMessageThatCannotBeReadShieldsNoOther(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, u *user) // makes message 2
		log   string
	}{
		{"broken gz", func(t *testing.T, u *user) { u.mail("Trash", 2, "", packed(t, 1<<20)[:100]) }, "unexpected EOF"},
		{"no gz at all", func(_ *testing.T, u *user) { u.mail("Trash", 2, "", "\x1f\x8bneedle") }, "UID 2: skipped: "},
		{"zstd", func(_ *testing.T, u *user) { u.mail("Trash", 2, "", "\x28\xb5\x2f\xfdneedle") }, "unsupported"},
		{"gz of too much", func(t *testing.T, u *user) { u.mail("Trash", 2, "", packed(t, maildir.MaxUnpacked)) }, "too large"},
		{"a file of a tebibyte", func(t *testing.T, u *user) {
			if err := os.Truncate(u.mail("Trash", 2, "", "Subject: x\n\nneedle\n"), 1<<40); err != nil {
				t.Skip(err)
			}
		}, "too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			u.folder("Trash")
			u.folder("After")
			for _, n := range []int{1, 3} {
				u.mail("Trash", n, "", "Subject: x\n\nneedle\n")
			}
			u.mail("After", 1, "", "Subject: x\n\nneedle\n")
			tt.spoil(t, u)
			got := u.run("expunge ( mailbox Trash body needle ) or ( mailbox After body needle )")
			if got.code != 75 || got.touched != "3" || len(got.logs) != 1 ||
				!strings.HasPrefix(got.logs[0], "Mailbox Trash: UID 2: skipped: ") || !strings.Contains(got.logs[0], tt.log) {
				t.Errorf("got %d, %s touched, %q", got.code, got.touched, got.logs)
			}
			for n := 1; n <= 3; n++ {
				_, err := os.Lstat(filepath.Join(u.path("Trash"), "cur", fmt.Sprintf("16000000%02d.M%dP1.host:2,", n, n)))
				if there := err == nil; there != (n == 2) {
					t.Errorf("message %d: still there: %t", n, there)
				}
			}
		})
	}
}

func TestWhatCannotBeReadIsNotTheOpposite(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.mail("INBOX", 1, "", "Subject: x\nMessage-ID: <1@x>\n\ny\n")
	u.mail("INBOX", 2, "", "\x28\xb5\x2f\xfd")
	for _, query := range []string{"not body needle", "not subject needle", "not inthread refs subject needle"} {
		if got := u.run("expunge --dry-run mailbox INBOX " + query); got.code != 75 || got.touched != "1" || got.values[3] != "1" {
			t.Errorf("%s: got %d, %v", query, got.code, got.values)
		}
	}
}

func TestManyMessagesThatCannotBeReadAreCounted(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for i := range maxSkipped + 5 {
		u.mail("INBOX", i+1, "", "\x28\xb5\x2f\xfd")
	}
	got := u.run("search mailbox INBOX subject x")
	if n := len(got.logs); got.code != 75 || n != maxSkipped+1 || got.logs[n-1] != "Mailbox INBOX: 5 more messages that cannot be read were skipped" {
		t.Errorf("got %d, %q", got.code, got.logs)
	}
}

func TestSearchOfALargeCompressedMessage(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.mail("INBOX", 1, "", packed(t, 3<<20))
	if got := u.run("search mailbox INBOX body needle larger 3M"); got.code != 0 || got.uids() != "1" {
		t.Errorf("got %+v", got)
	}
}

func TestSaveForNowTellsTheSizeThatItWouldHave(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	f := u.begin("save", "--dry-run")
	f.packet(doveadmproto.ChInput, "Subject: a\r")
	f.packet(doveadmproto.ChInput, "\n\r\nbody\r\n")
	f.packet(doveadmproto.ChInput, "")
	want := fmt.Sprint(len("Subject: a\n\nbody\n"))
	if got := f.reply(nil); got.code != 0 || got.touched != "1" || len(got.values) != 6 || got.values[4] != want {
		t.Errorf("got %+v, want %s bytes", got, want)
	}
	if got := u.run("search mailbox INBOX all"); got.uids() != "" {
		t.Errorf("it saved: %+v", got)
	}
}

func TestIDsOfThreadsAreBounded(t *testing.T) {
	t.Parallel()
	th := threads{ids: map[string]int32{}}
	n, long := th.node(), strings.Repeat("x", 1<<20)
	for i := range 3 * maxThreads >> 20 {
		th.join(n, fmt.Sprint(i)+long[:1<<20-8])
	}
	if have := len(th.ids); have > maxThreads>>20 || th.bytes <= maxThreads {
		t.Errorf("%d ids of a MiB", have)
	}
}

func TestBaseOfALongSubject(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	for _, tt := range []struct{ subject, base string }{
		{"re [" + strings.Repeat("a", 1<<19) + "] x" + strings.Repeat("(fwd)", 1<<17), ""},
		{strings.Repeat("re: ", 1<<18) + "x", "x"},
		{strings.Repeat("[a] ", 1<<18) + "x", "x"},
		{"Re: [list] Fwd: Hello (fwd) (fwd)", "hello"},
	} {
		if got, _ := baseSubject(tt.subject); tt.base != "" && got != tt.base {
			t.Errorf("%.20s: got %.20q, want %q", tt.subject, got, tt.base)
		}
	}
	if d := time.Since(begun); d > 10*time.Second { // it took minutes
		t.Errorf("took %s", d)
	}
}
