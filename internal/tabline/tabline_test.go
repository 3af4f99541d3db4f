package tabline

import (
	"slices"
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, plain, escaped string }{
		{"nothing to do", "alice@example.com", "alice@example.com"},
		{"empty", "", ""},
		{"all five", "\x00\x01\t\r\n", "\x010\x011\x01t\x01r\x01n"},
		{"in the middle", "a\tb", "a\x01tb"},
		{"8-bit bytes stay", "\xff\xc3\xa9", "\xff\xc3\xa9"},
	} {
		if got := Escape(tt.plain); got != tt.escaped {
			t.Errorf("%s: Escape gives %q, want %q", tt.name, got, tt.escaped)
		}
		if got := Unescape(tt.escaped); got != tt.plain {
			t.Errorf("%s: Unescape gives %q, want %q", tt.name, got, tt.plain)
		}
	}
}

func TestUnescapeAsDovecotDoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"an unknown byte stands for itself", "a\x01xb", "axb"},
		{"a lone escape at the end is dropped", "ab\x01", "ab"},
		{"an escape of the escape", "\x011t", "\x01t"},
	} {
		if got := Unescape(tt.in); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"an empty line has one empty field", "", []string{""}},
		{"a TAB at the end makes an empty field", "DONE\t5\t", []string{"DONE", "5", ""}},
		{"an escaped TAB does not split", "a\x01tb\tc", []string{"a\tb", "c"}},
	} {
		if got := Split(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzSplit checks that no line is refused or grows, and that what Append
// wrote is read back as it was.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "USER\t1\talice\tservice=lmtp", "\x01", "a\x01tb\t\x01n", "\t\t", "\x01\t\x01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		fields := Split(line)
		if got, want := len(fields), strings.Count(line, "\t")+1; got != want {
			t.Fatalf("%d fields, want %d", got, want)
		}
		size := len(fields) - 1
		for _, x := range fields {
			size += len(x)
		}
		if size > len(line) {
			t.Fatalf("%d bytes grew to %d", len(line), size)
		}
		out := string(Append(nil, fields...))
		if strings.ContainsAny(out, "\n\r\x00") {
			t.Fatalf("%q is not one line", out)
		}
		if back := Split(out); !slices.Equal(back, fields) {
			t.Fatalf("got %q back, want %q", back, fields)
		}
	})
}
