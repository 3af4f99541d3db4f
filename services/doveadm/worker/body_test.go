package worker

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"culver/internal/mailstore/maildir"
)

// bothWays searches a message by its stored bytes first, and by its parts.
func bothWays(t *testing.T, box *maildir.Mailbox, i int, text string) (quick, thorough bool) {
	t.Helper()
	c := &call{w: &Worker{}, said: time.Now()}
	n := newNeedle(text)
	var m message
	m.reset(box, i)
	defer m.close()
	quick, err := m.body(c, &n, false)
	if err != nil {
		t.Fatal(err)
	}
	m.close()
	m.reset(box, i)
	if thorough, err = m.decodedBody(c, &n, false); err != nil {
		t.Fatal(err)
	}
	return quick, thorough
}

func TestTheQuickLookAgreesWithTheThorough(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	secret := base64.StdEncoding.EncodeToString([]byte("the SECRET word"))
	part := func(head, body string) string { return "--b\n" + head + "\n\n" + body + "\n" }
	multi := func(parts ...string) string {
		return "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\npreamble secret\n" + strings.Join(parts, "") + "--b--\n"
	}
	texts := []string{
		"Subject: x\n\nthe SECRET word\n",
		"Subject: secret\n\nnothing\n",
		"Subject: x\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\nthe SE=\nCR=45T word\n",
		"Subject: x\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + secret + "\n",
		"Subject: x\nContent-Type: application/x\nContent-Transfer-Encoding: base64\n\n" + secret + "\n",
		multi(part("Content-Type: image/png\nContent-Transfer-Encoding: base64", secret)),
		multi(part("Content-Transfer-Encoding: base64", secret)),
		multi(part("Content-Type: text/html\nContent-Transfer-Encoding: BASE64", secret)),
		multi(part("Content-Transfer-Encoding: base64\nContent-Type: image/png", secret), part("Content-Transfer-Encoding: base64", secret)),
		multi(part("Content-Type: image/png\n\nbase64", "secret")),
		multi(part("Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: 8bit", "s\x00e\x00c\x00r\x00e\x00t\x00")),
		multi(part("Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable", "se=63ret gr=C3=BC=C3=9Fe")),
		"Subject: x\nContent-Type: text/plain; charset=iso-8859-1\n\ngr\xfc\xdfe\n",
		"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n" +
			"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + secret + "\r\n--b--\r\n",
		multi("--b\nContent-Type: image/png; x=base64base64\n--b\nContent-Transfer-Encoding: base64\n\n" + secret + "\n"),
		multi(part("Content-Type: image/png; x="+strings.Repeat("base64", 2000), "x"), part("Content-Transfer-Encoding: base64", secret)),
		"Subject: x\n\n" + strings.Repeat("filler line\n", 200000) + "secret at the end\n",
		"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte(strings.Repeat("filler ", 300000)+"secret")) + "\n",
	}
	for i, text := range texts {
		u.mail("INBOX", i, "", text)
	}
	store := maildir.New(maildir.Config{Root: u.dir, NoSync: true})
	defer store.Close()
	box, err := store.Open("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	found := 0
	for i := range texts {
		for _, needle := range []string{"secret", "SECRET word", "nowhere", "grüße", "GRÜ", "ret gr", "ü", "gru"} {
			quick, thorough := bothWays(t, box, i, needle)
			if quick != thorough {
				t.Errorf("message %d, %q: got %v, want %v", i+1, needle, quick, thorough)
			}
			if thorough {
				found++
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d were found", found)
	}
}

// A megabyte of the word in the header of a picture is not looked around for
// each time that it comes.
func TestTheHeaderOfDataIsLookedAtOnce(t *testing.T) {
	t.Parallel()
	text := []byte("\n\n--b\ncontent-type: image/png; x=" + strings.Repeat("base64", 500) + "\n\nbody base64\n")
	at, body := bytes.Index(text, []byte("base64")), bytes.LastIndex(text, []byte("\n\n"))
	if end, data := headerOfData(text, at); end != body || !data {
		t.Errorf("got %d, %v, want %d", end, data, body)
	}
	if !encodesText(text, []byte("base64")) {
		t.Error("the word in the body was passed over")
	}
}

func FuzzQuickLook(f *testing.F) {
	f.Add("Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\na=\nb=43\n", "abc")
	f.Add("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nYWJj\n--b--\n", "abc")
	f.Add("Content-Type: text/plain; charset=utf-16\n\na\x00b\x00", "ab")
	f.Add("a\n\n=3d=41", "=a")
	f.Fuzz(func(t *testing.T, text, needle string) {
		if len(needle) > 100 || strings.ContainsAny(needle, "\r\n\t ") {
			return
		}
		n := newNeedle(needle)
		if !n.ascii || len(n.run) == 0 {
			return
		}
		u := t.TempDir()
		for _, sub := range []string{"cur", "new", "tmp"} {
			os.MkdirAll(u+"/m/"+sub, 0o700)
		}
		os.WriteFile(fmt.Sprintf("%s/m/cur/1600000000.M1P1.h:2,", u), []byte(text), 0o600)
		store := maildir.New(maildir.Config{Root: u + "/m", NoSync: true})
		defer store.Close()
		box, err := store.Open("INBOX")
		if err != nil {
			t.Skip(err)
		}
		defer box.Close()
		if box.Len() == 0 {
			return
		}
		c, m := &call{w: &Worker{}, said: time.Now()}, message{}
		m.reset(box, 0)
		defer m.close()
		if quick, err := m.body(c, &n, false); err == nil {
			thorough, err := m.decodedBody(c, &n, false)
			if err == nil && quick != thorough {
				t.Errorf("%q in %q: got %v, want %v", needle, text, quick, thorough)
			}
		}
	})
}
