package wire

import (
	"reflect"
	"strings"
	"testing"
)

var setup = Setup{Path: "/bin/x", Args: []string{"x", "y"}, Env: []string{"A=1"}, ReadOnly: []string{"/r"}, ReadWrite: []string{"/w"},
	Libraries: []string{"/l"}, Data: 1 << 40, Files: 9, Listeners: 3, Filter: FilterDaemon, Sandbox: SandboxOff, Keep: true}

var birth = Birth{Serial: 7, UID: 1, GID: 2, Groups: []int{3, 4}, Identity: "I=1:2:3,4", Marker: "/m", Deadline: 5,
	Paths: []Path{{"/home/x", "", true, false}, {"/var/mail", "x", false, true}}}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	if got, err := ParseSetup(setup.Append(nil)); err != nil || !reflect.DeepEqual(got, setup) {
		t.Errorf("setup: got %+v, %v; want %+v", got, err, setup)
	}
	if got, err := ParseBirth(birth.Append(nil)); err != nil || !reflect.DeepEqual(got, birth) {
		t.Errorf("birth: got %+v, %v; want %+v", got, err, birth)
	}
	if got, drop, err := ParseGo(Go(9)); err != nil || got != 9 || drop {
		t.Errorf("go: got %d, %v; want 9", got, err)
	}
	if got, drop, err := ParseGo(Drop(9)); err != nil || got != 9 || !drop {
		t.Errorf("drop: got %d, %t, %v; want 9", got, drop, err)
	}
	r := Report{Kind: KindFailed, Serial: 1, PID: 2, ABI: 3, Class: ClassMount, Text: "why"}
	if got, err := ParseReport(r.Append(nil)); err != nil || got != r {
		t.Errorf("report: got %+v, %v; want %+v", got, err, r)
	}
}

func TestMessagesOutOfTheirLimitsAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Birth)
	}{
		{"the uid that means no change", func(b *Birth) { b.UID = 1<<32 - 1 }},
		{"a negative gid", func(b *Birth) { b.GID = -1 }},
		{"a group that means no change", func(b *Birth) { b.Groups = []int{1<<32 - 1} }},
		{"too many groups", func(b *Birth) { b.Groups = make([]int, MaxGroups+1) }},
		{"too many paths", func(b *Birth) { b.Paths = make([]Path, MaxPaths+1) }},
		{"a path that is too long", func(b *Birth) { b.Paths = []Path{{Above: strings.Repeat("x", MaxPath+1)}} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := birth
			tt.change(&b)
			if _, err := ParseBirth(b.Append(nil)); err == nil {
				t.Error("was taken")
			}
		})
	}
	for n := range len(birth.Append(nil)) {
		if _, err := ParseBirth(birth.Append(nil)[:n]); err == nil {
			t.Errorf("a birth cut to %d bytes was taken", n)
		}
	}
	if _, err := ParseBirth(append(birth.Append(nil), 0)); err == nil {
		t.Error("a birth with a byte too many was taken")
	}
	long := Report{Kind: KindFailed, Text: strings.Repeat("x", 2*MaxText)}
	if got, err := ParseReport(long.Append(nil)); err != nil || len(got.Text) != MaxText {
		t.Errorf("a long text: got %d bytes, %v; want it cut to %d", len(got.Text), err, MaxText)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(setup.Append(nil))
	f.Add(birth.Append(nil))
	f.Add(Go(1))
	f.Add((&Report{Kind: KindHello, Text: "x"}).Append(nil))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if b, err := ParseBirth(packet); err == nil {
			if again, err := ParseBirth(b.Append(nil)); err != nil || !reflect.DeepEqual(again, b) {
				t.Errorf("birth %+v comes back as %+v, %v", b, again, err)
			}
		}
		if s, err := ParseSetup(packet); err == nil {
			if again, err := ParseSetup(s.Append(nil)); err != nil || !reflect.DeepEqual(again, s) {
				t.Errorf("setup %+v comes back as %+v, %v", s, again, err)
			}
		}
		ParseReport(packet)
		ParseGo(packet)
	})
}
