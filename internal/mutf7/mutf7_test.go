package mutf7

import (
	"testing"
	"unicode/utf8"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"INBOX": "INBOX", "a&b": "a&-b", "Entwürfe": "Entw&APw-rfe", "~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "😀": "&2D3eAA-",
	} {
		if got := Encode(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if got, ok := Decode(want); !ok || got != name {
			t.Errorf("%s: got %s, %v, want %s", want, got, ok, name)
		}
	}
}

func TestWhatEncodeWouldNotWriteIsNoName(t *testing.T) {
	for _, name := range []string{"a&b", "&", "&AGE-", "&APw", "&APw=-", "&2D0-", "ü", "a\x01", "&APw-&APw-"} {
		if got, ok := Decode(name); ok {
			t.Errorf("%q: got %q, want nothing", name, got)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("Entwürfe &")
	f.Add("&APw-rfe")
	f.Fuzz(func(t *testing.T, name string) {
		if d, ok := Decode(name); ok && Encode(d) != name {
			t.Errorf("%q: decoded to %q, which is written %q", name, d, Encode(d))
		}
		if d, ok := Decode(Encode(name)); utf8.ValidString(name) && (!ok || d != name) {
			t.Errorf("%q: written %q, read as %q", name, Encode(name), d)
		}
	})
}
