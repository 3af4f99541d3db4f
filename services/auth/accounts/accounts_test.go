package accounts

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestID(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tab := &Table{Path: filepath.Join(t.TempDir(), "passwd"), Now: func() time.Time { return now }}
	write := func(text string) {
		if err := os.WriteFile(tab.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("root:x:0:0::/root:/bin/sh\nvmail:x:5000:5000::/:\n\nbroken:x\nbroken:x:y:1::\nvmail:x:6000:1::/:\ngroup:x:7:a,b\n")
	for _, tt := range []struct{ name, want string }{
		{"5000", "5000"}, {"4294967294", "4294967294"}, {"vmail", "5000"}, {"group", "7"},
		{"0", ""}, {"4294967295", ""}, {"4294967296", ""}, {"-1", ""}, {"", ""}, {"root", ""}, {"nobody", ""}, {"broken", ""}, {"+5", ""},
	} {
		got := ""
		if n, err := tab.ID(tt.name); err == nil {
			got = fmt.Sprint(n)
		}
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.name, got, tt.want)
		}
	}
	write("added:x:5001:1::/:\n")
	now = now.Add(time.Second)
	if n, err := tab.ID("added"); err != nil || n != 5001 {
		t.Errorf("added later: got %d, %v, want 5001", n, err)
	}
	os.Remove(tab.Path)
	now = now.Add(time.Second)
	if n, err := tab.ID("added"); err != nil || n != 5001 {
		t.Errorf("file gone: got %d, %v, want what was known", n, err)
	}
}
