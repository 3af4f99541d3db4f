package rootexec_test

import (
	"slices"
	"testing"

	"culver/master/internal/rootexec"
)

func TestChildIsBornWithExactlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	n := open(t, func(p *rootexec.Program) { p.VSZ = 256 << 20 })
	home := t.TempDir()
	got := n.ask(rootexec.Child{Identity: me(), Paths: []rootexec.Path{{Above: home}}}, "save "+home, "open /etc/passwd", "socket", "chmod "+home)
	if want := []string{"0:char", "1:char", "2:pipe", "3:socket", "4:file"}; !slices.Equal(got.FDs, want) {
		t.Errorf("descriptors are %v, want %v", got.FDs, want)
	}
	t.Logf("%+v", got)
}
