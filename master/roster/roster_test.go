package roster

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	t.Parallel()
	now := time.Unix(1795450000, 0)
	l := Limits{Processes: 4, PerUser: 2}
	for _, tt := range []struct {
		name string
		l    Limits
		have Counts
		want Decision
	}{
		{"first of all spawns", l, Counts{}, Decision{Action: Spawn}},
		{"an idle worker of the identity is used", l, Counts{Total: 2, IdleSame: 1}, Decision{Action: Reuse}},
		{"an idle worker is used in a full house", l, Counts{Total: 4, IdleSame: 1}, Decision{Action: Reuse}},
		{"full house waits and says why", l, Counts{Total: 4}, Decision{Wait, "process_limit"}},
		{"an idle stranger makes room", l, Counts{Total: 4, IdleOther: 1}, Decision{Evict, "process_limit"}},
		{"a stranger stays while there is room", l, Counts{Total: 3, IdleOther: 3}, Decision{Action: Spawn}},
		{"a busy user waits for himself", l, Counts{Total: 2, OfUser: 2}, Decision{Wait, "lmtp_user_concurrency_limit"}},
		{"a busy user waits beside an idle worker", l, Counts{IdleSame: 1, OfUser: 2}, Decision{Wait, "lmtp_user_concurrency_limit"}},
		{"no limit per user", Limits{Processes: 4}, Counts{Total: 3, OfUser: 3}, Decision{Action: Spawn}},
		{"held after a crash", l, Counts{HoldUntil: now.Add(time.Second)}, Decision{Action: Refuse}},
		{"held no more", l, Counts{HoldUntil: now}, Decision{Action: Spawn}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Next(tt.l, tt.have, now); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestSpareKeepsMinAvailBelowTheLimit(t *testing.T) {
	t.Parallel()
	l := Limits{Processes: 5, MinAvail: 3}
	for _, tt := range []struct{ total, idle, want int }{
		{0, 0, 3}, {2, 2, 1}, {3, 3, 0}, {4, 0, 1}, {5, 0, 0}, {5, 5, 0},
	} {
		if got := Spare(l, tt.total, tt.idle); got != tt.want {
			t.Errorf("Spare(total %d, idle %d): got %d, want %d", tt.total, tt.idle, got, tt.want)
		}
	}
}

func TestBackoffDoublesToAMinuteAndForgets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1795450000, 0)
	var b Backoff
	for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		if got := b.Fail(now); got != want*time.Second {
			t.Errorf("delay: got %v, want %v", got, want*time.Second)
		}
	}
	if got, want := b.Until(), now.Add(time.Minute); !got.Equal(want) {
		t.Errorf("until: got %v, want %v", got, want)
	}
	b.Served()
	if got := b.Fail(now); got != FirstDelay {
		t.Errorf("delay after service: got %v, want %v", got, FirstDelay)
	}
}
