package master

import (
	"reflect"
	"testing"

	"culver/internal/settings"
	"culver/master/internal/rootexec"
)

func TestCheckRefusesTheLimitsThatSpawnersRefuse(t *testing.T) {
	t.Parallel()
	if got, want := int64(settings.LeastVSZ), int64(rootexec.LeastVSZ); got != want {
		t.Errorf("settings.LeastVSZ: got %d, want rootexec's %d", got, want)
	}
}

func TestEachClassOfListenersHasAFrontOfItsOwn(t *testing.T) {
	t.Parallel()
	local, network, plain := settings.Listener{Class: "local"}, settings.Listener{Class: "network"}, settings.Listener{}
	for _, tt := range []struct {
		name string
		all  []settings.Listener
		fds  []int
		want []part
	}{
		{"a service without listeners is one process", nil, nil, []part{{}}},
		{"as is one of one class", []settings.Listener{plain, plain}, []int{7, 8}, []part{{"", []int{7, 8}}}},
		{"two classes are two", []settings.Listener{local, network, local, network}, []int{5, 6, 7, 8},
			[]part{{"local", []int{5, 7}}, {"network", []int{6, 8}}}},
		{"the network alone has no local front", []settings.Listener{network}, []int{5}, []part{{"network", []int{5}}}},
	} {
		if got := parts(tt.all, tt.fds); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
