package maillog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"culver/internal/maillog/logline"
)

func TestLines(t *testing.T) {
	t.Parallel()
	frame := func(l logline.Level, session, user, text string) string {
		return string(logline.Append(nil, l, session, user, text))
	}
	for _, tt := range []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{"a message alone", func(l *slog.Logger) { l.Info("ready") },
			frame(logline.Info, "", "", "ready")},
		{"session and user go in front", func(l *slog.Logger) { l.Warn("slow", "user", "bob", "took", time.Second, "session", "S:R1") },
			frame(logline.Warn, "S:R1", "bob", "slow took=1s")},
		{"a session given to With stays, a later one wins", func(l *slog.Logger) { l.With("session", "S", "conn", 4).Info("x", "session", "S:R2") },
			frame(logline.Info, "S:R2", "", "x conn=4")},
		{"a value of several words is quoted", func(l *slog.Logger) { l.Error("x", "err", errors.New("no such file"), "rcpt", "") },
			frame(logline.Error, "", "", `x err="no such file" rcpt=""`)},
		{"a value cannot look like another key", func(l *slog.Logger) { l.Info("x", "rcpt", "a=b", "n", "a\nb") },
			frame(logline.Info, "", "", `x rcpt="a=b" n="a\nb"`)},
		{"groups are part of the key", func(l *slog.Logger) {
			l.WithGroup("peer").With("ip", "::1").Info("x", slog.Group("tls", "v", 3), "user", "u")
		},
			frame(logline.Info, "", "", "x peer.ip=::1 peer.tls.v=3 peer.user=u")},
		{"debug is off unless asked for", func(l *slog.Logger) { l.Debug("x") }, ""},
		{"a last line is fatal", func(l *slog.Logger) { l.Log(t.Context(), LevelFatal, "x") },
			frame(logline.Fatal, "", "", "x")},
		{"a secret stays one", func(l *slog.Logger) { l.Info("x", "pass", Secret("hunter2")) },
			frame(logline.Info, "", "", "x pass=***")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			tt.log(slog.New(NewHandler(&out, nil)))
			if out.String() != tt.want {
				t.Errorf("got %q, want %q", out.String(), tt.want)
			}
		})
	}
}

func TestTwoLoggersOfOneParentDoNotMix(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	parent := slog.New(NewHandler(&out, slog.LevelDebug)).With("a", 1)
	one, two := parent.With("b", 2), parent.With("c", 3)
	one.Debug("x")
	two.Debug("y")
	if got, want := strings.ReplaceAll(out.String(), "\x01", ""), "d\t\tx a=1 b=2\nd\t\ty a=1 c=3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSecretCannotBePrinted(t *testing.T) {
	t.Parallel()
	s := Secret("hunter2")
	asJSON, err := json.Marshal(map[string]any{"pass": s})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %s %q %#v %x %d", s, s, s, s, s, s),
		fmt.Sprintf("%v %+v", struct{ P Secret }{s}, []Secret{s}), string(asJSON),
	} {
		if strings.Contains(got, "hunter2") || strings.Contains(got, "68756e74657232") || !strings.Contains(got, "***") {
			t.Errorf("got %q", got)
		}
	}
	if string(s) != "hunter2" {
		t.Error("the value itself is lost")
	}
}
