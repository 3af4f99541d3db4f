package masterproto

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Unix(1795450000, 7)

func orders() []Order {
	return []Order{
		{Kind: KindServices}, {Kind: KindProcesses}, {Kind: KindAccesses}, {Kind: KindReload}, {Kind: KindStop}, {Kind: KindReopen},
		{Kind: KindKick, PID: 4711, User: "bob@example.org"},
		{Kind: KindKick, PID: 1<<31 - 1, User: strings.Repeat("u", MaxUser)},
		{Kind: KindStopService, Name: "lmtp"},
	}
}

func answers() []Answer {
	return []Answer{
		{Kind: KindService, Service: Service{Name: "doveadm", Processes: 3, Available: 1, ProcessLimit: 100, ClientLimit: 4096,
			Throttle: 4 * time.Second, FailureLast: noon, FailuresInSecond: 2, FailureText: "pid 5: killed with signal 9", DropLast: noon,
			ListenPending: true, Listening: true, Stopped: true, ProcessesAllTimes: 1 << 40}},
		{Kind: KindService, Service: Service{Name: "log"}},
		{Kind: KindProcess, Process: Process{Service: "lmtp", PID: 5, User: "bob", Available: 1, Total: 7, IdleSince: noon, LastStatus: noon, LastKill: noon}},
		{Kind: KindProcess, Process: Process{Service: "auth", PID: 6}},
		{Kind: KindAccess, Access: Access{User: "bob", Service: "lmtp", PID: 5, Since: noon}},
		{Kind: KindProblem, Problem: "culver.conf:3:1: no such setting"},
		{Kind: KindDone}, {Kind: KindDone, Code: CodeRefused},
	}
}

func TestEveryOrderArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	for _, want := range orders() {
		packet := want.Append(nil)
		if len(packet) > MaxOrder {
			t.Errorf("%+v is %d bytes long", want, len(packet))
		}
		if got, err := ParseOrder(packet); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestEveryAnswerArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	for _, want := range answers() {
		packet := want.Append(nil)
		if len(packet) > MaxMessage {
			t.Errorf("%+v is %d bytes long", want, len(packet))
		}
		if got, err := ParseAnswer(packet); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestALineForPeopleIsCutAtItsLimit(t *testing.T) {
	t.Parallel()
	long := Answer{Kind: KindProblem, Problem: strings.Repeat("x", MaxMessage)}
	got, err := ParseAnswer(long.Append(nil))
	if err != nil || len(got.Problem) != MaxText {
		t.Errorf("got %d bytes, %v, want %d", len(got.Problem), err, MaxText)
	}
}

func TestMalformedOrders(t *testing.T) {
	t.Parallel()
	kick := (&Order{Kind: KindKick, PID: 5, User: "bob"}).Append(nil)
	pidOf := func(n int) []byte { return (&Order{Kind: KindKick, PID: n, User: "bob"}).Append(nil) }
	for _, tt := range []struct {
		name   string
		packet []byte
	}{
		{"an empty packet", nil},
		{"an unknown order", []byte{99}},
		{"an answer", (&Answer{Kind: KindDone}).Append(nil)},
		{"more than an order", []byte{byte(KindReload), 0}},
		{"a shorter one", kick[:len(kick)-1]},
		{"a pid that is everybody", pidOf(-1)},
		{"a pid that is our group", pidOf(0)},
		{"a pid that is a group", pidOf(-4711)},
		{"a name beyond its limit", (&Order{Kind: KindKick, PID: 5, User: strings.Repeat("u", MaxUser+1)}).Append(nil)},
		{"a packet beyond its limit", append([]byte{byte(KindReload)}, make([]byte, MaxOrder)...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := ParseOrder(tt.packet); err != ErrMessage {
				t.Errorf("got %+v, %v, want ErrMessage", got, err)
			}
		})
	}
}

// What parses is a message of ours to the byte, so there is one way to say
// anything, and no answer is longer than its limit.
func FuzzParse(f *testing.F) {
	for _, o := range orders() {
		f.Add(o.Append(nil))
	}
	for _, a := range answers() {
		f.Add(a.Append(nil))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		if o, err := ParseOrder(packet); err == nil {
			if got := string(o.Append(nil)); got != string(packet) {
				t.Errorf("order %q becomes %q", packet, got)
			}
			if o.Kind == KindKick && o.PID <= 0 {
				t.Errorf("kicks %d", o.PID)
			}
		}
		if a, err := ParseAnswer(packet); err == nil {
			if got := string(a.Append(nil)); got != string(packet) {
				t.Errorf("answer %q becomes %q", packet, got)
			}
		}
	})
}
