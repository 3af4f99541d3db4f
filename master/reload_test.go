package master

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"culver/master/listen"
)

func TestStartThatMaySucceedLaterIsNoFaultOfTheConfiguration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"the last master's front still listens", fmt.Errorf("unix_listener x: %w", listen.ErrInUse), false},
		{"a port is taken", errors.Join(fmt.Errorf("inet_listener y: %w", unix.EADDRINUSE)), false},
		{"no more processes", fmt.Errorf("spawner: %w", unix.EAGAIN), false},
		{"no such directory", fmt.Errorf("unix_listener x: %w", unix.ENOENT), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := classed(tt.err)
			if got := errors.Is(err, ErrConfig); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %v: configuration %t, want %t", err, got, tt.want)
			}
		})
	}
}
