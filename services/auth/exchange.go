package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"culver/internal/maillog/logline"
	"culver/services/auth/penalty"
	"culver/services/auth/sasl"
)

// Times of a request.
const (
	// requestLifetime is how long a request waits for its client, and a login for
	// its REQUEST.
	requestLifetime = 150 * time.Second
	// shortPatience is what a step may take in all for a client of minor 0 or 1:
	// Postfix waits ten seconds for a reply.
	shortPatience = 8 * time.Second
	longPatience  = 25 * time.Second
	// lookupReserve is kept of the patience for the answer.
	lookupReserve = time.Second
)

// phase is where a request stands.
type phase int

const (
	working phase = iota // a step runs
	asking               // the client was asked for more
	holding              // the verdict is there, the answer waits
	ended
)

// exchange is one AUTH, from its line to its last reply. The mutex of its client
// is held where the phase changes.
type exchange struct {
	*clientConn
	asked
	id      uint32
	run     sasl.Exchange
	try     Try
	phase   phase
	timer   *time.Timer     // of asking and holding
	ctx     context.Context // of the step that runs
	cancel  context.CancelFunc
	began   time.Time // of the step that runs
	binding bool      // channel binding data was asked for
	yes     *verdict  // yes; only the client's empty answer to the last data is missing
	penalty time.Duration
	who     *penalty.Who // announced and not settled
}

// auth answers AUTH.
func (c *clientConn) auth(f []string) error {
	id, err := parseID(f)
	if err != nil {
		return err
	}
	if len(f) < 2 {
		return fmt.Errorf("%w: AUTH without a mechanism", errInput)
	}
	a, err := parseAuth(f[1:], c.minor)
	mech, ok := c.offered(a.mechanism)
	switch {
	case err != nil:
	case !ok:
		err = errNoMech
	case mech.Plaintext() && a.values.Secured == "" && !c.Cleartext:
		err = errInsecure
	}
	c.mu.Lock()
	if old := c.open[id]; old != nil {
		// Two of one id: nobody could tell which of them an answer is for.
		old.drop()
		err = errors.New("Two requests of one id") //lint:ignore ST1005 shown as it is
	}
	c.forget(id) // an id is free again once it was answered
	held := len(c.open) + len(c.late) + len(c.logins)
	full := held >= maxOpen || c.unsent >= maxOpen || held >= fewOpen && c.requests.Load() >= maxOpenAll
	first := full && !c.warned
	c.warned = c.warned || full
	var x *exchange
	if err == nil && !full {
		x = c.admit(id, a, mech)
	}
	c.mu.Unlock()
	switch {
	case x != nil:
		go x.step(a.initial)
	case errors.Is(err, errBase64):
		c.fail(id, "invalid_base64", "reason="+err.Error())
	case err != nil:
		c.fail(id, "", "reason="+err.Error())
	default:
		c.overload(id, first)
	}
	return nil
}

// offered finds a mechanism among those that this client was told of.
func (c *clientConn) offered(name string) (sasl.Mechanism, bool) {
	for _, m := range c.Mechanisms {
		if m.Name == name && (!m.Plus || c.plus) {
			return m, true
		}
	}
	return sasl.Mechanism{}, false
}

// overload refuses a request because there are too many.
func (c *clientConn) overload(id uint32, first bool) {
	if first {
		c.Logf(logline.Warn, "", "%s connection of process %d: logins are refused: there are %d at a time on this connection or %d in all",
			c.role.Name, c.cpid, maxOpen, maxOpenAll)
	}
	if c.minor < 2 {
		c.stop()
		return
	}
	c.fail(id, "temp_fail", "reason=Too many logins at a time, try again later")
}

// admit takes a request in.
func (c *clientConn) admit(id uint32, a asked, mech sasl.Mechanism) *exchange {
	a.values.ClientPID = strconv.FormatUint(uint64(c.cpid), 10)
	x := &exchange{clientConn: c, asked: a, id: id, phase: working}
	x.try = c.try(c.role, a)
	facts := c.Facts
	facts.PlusOffered = c.plus
	x.run = mech.New(counted{x.try, x}, facts)
	c.open[id] = x
	c.requests.Add(1)
	x.start()
	return x
}

// start begins a step.
func (x *exchange) start() {
	x.phase, x.began = working, time.Now()
	x.ctx, x.cancel = context.WithTimeout(x.clientConn.ctx, x.patience()-lookupReserve)
	x.busy.Add(1)
}

// patience is how long this client waits for a reply.
func (x *exchange) patience() time.Duration {
	if x.minor < 2 {
		return shortPatience
	}
	return longPatience
}

// resume takes the client's answer as come.
func (x *exchange) resume() {
	x.timer.Stop()
	x.start()
}

// drop gives a request up: nothing more is said of it. A step that runs finds
// out when it is done.
func (x *exchange) drop() {
	if x.phase == holding && x.timer != nil && x.timer.Stop() {
		x.busy.Done()
	}
	if x.phase == asking {
		x.timer.Stop()
	}
	x.cancel()
	x.leave()
}

// hasten has an answer that waits go now.
func (x *exchange) hasten() {
	if x.phase == holding && x.timer != nil && x.timer.Stop() {
		x.timer.Reset(0)
	}
}

// leave takes the request out of its connection.
func (x *exchange) leave() {
	if x.phase == ended {
		return
	}
	x.phase = ended
	x.requests.Add(-1)
	if x.open[x.id] == x {
		delete(x.open, x.id)
	}
	delete(x.late, x)
	if x.who != nil {
		// The client left or gave up before the verdict.
		go x.Penalty.Abandon(context.Background(), *x.who)
		x.who = nil
	}
}

// answer takes the data of CONT.
func (x *exchange) answer(text string, params []string) {
	in := sasl.Input{}
	var err error
	if in.Data, err = base64.StdEncoding.Strict().DecodeString(text); err == nil && x.binding {
		for _, p := range params {
			if b, ok := strings.CutPrefix(p, "channel_binding="); ok {
				in.Binding, err = base64.StdEncoding.Strict().DecodeString(b)
			}
		}
	}
	if text == "=" {
		in.Data, err = nil, nil // as in AUTH
	}
	switch {
	case err != nil:
		x.finish(verdict{code: "invalid_base64", reason: "Invalid base64 data in continued response", now: true})
	case x.yes != nil && len(in.Data) > 0:
		x.finish(verdict{})
	case x.yes != nil:
		x.finish(*x.yes)
	default:
		go x.step(in)
	}
}

// step runs one step of the mechanism. The reply, if it is to come at once, is
// sent before this returns; else a timer sends it.
func (x *exchange) step(in sasl.Input) {
	out := x.run.Step(x.ctx, in)
	switch {
	case !out.Done:
		x.ask(out.Challenge, out.BindingType)
	case out.Err != nil:
		x.finish(x.refused(out.Err))
	default:
		r := x.try.Result()
		if x.role.Finish == byRequest { // the others refuse who is elsewhere
			var err error
			if r.Fields, err = x.hosts.complete(x.ctx, r.Fields); err != nil {
				x.finish(x.refused(err))
				return
			}
		}
		x.finish(x.accepted(r, out.Final))
	}
}

// ask sends a challenge. The request waits for its answer without a goroutine.
func (x *exchange) ask(challenge []byte, binding string) {
	defer x.busy.Done()
	fields := []string{"CONT", strconv.FormatUint(uint64(x.id), 10), base64.StdEncoding.EncodeToString(challenge)}
	x.mu.Lock()
	if x.phase == ended {
		x.mu.Unlock()
		return
	}
	if x.binding = binding != ""; x.binding {
		fields = append(fields, "channel_binding="+binding)
	}
	x.cancel()
	x.phase = asking
	var t *time.Timer
	t = time.AfterFunc(requestLifetime, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.phase == asking && x.timer == t { // and not that of an earlier challenge
			x.drop()
		}
	})
	x.timer = t
	x.mu.Unlock()
	x.send(fields...)
}

// finish gives the verdict, at once or when its delay is over; until then it
// holds a timer and no goroutine.
func (x *exchange) finish(a verdict) {
	wait := x.delay(&a)
	x.settle(&a)
	x.mu.Lock()
	if x.phase == ended {
		x.mu.Unlock()
		x.busy.Done()
		return
	}
	x.cancel()
	x.phase, x.timer = holding, nil
	if !a.ok {
		// While a refusal waits, its id is free for another request.
		delete(x.open, x.id)
		x.late[x] = struct{}{}
	}
	if x.stopped.Load() {
		wait = 0
	}
	if wait > 0 {
		x.timer = time.AfterFunc(wait, func() { x.release(a) })
	}
	x.mu.Unlock()
	if wait <= 0 {
		x.release(a)
	}
}

// sent ends the sending of a verdict. Until then it counts as a request does: its
// goroutine waits for those before it, and they for the client to read.
func (x *exchange) sent() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.unsent > 0 { // else the connection's end has counted them off
		x.unsent--
		x.requests.Add(-1)
	}
}

// release sends the verdict.
func (x *exchange) release(a verdict) {
	if a.ok && a.final != nil && !x.finalOK && x.yes == nil {
		// The client gets the mechanism's last data as a challenge.
		a.now = true
		x.yes = &a
		x.ask(a.final, "")
		return
	}
	defer x.busy.Done()
	x.mu.Lock()
	held := x.phase == holding
	x.leave()
	if held && a.more {
		x.clientConn.keep(x, a)
	}
	if held {
		x.unsent++
		x.requests.Add(1)
		defer x.sent()
	}
	x.mu.Unlock()
	switch {
	case !held:
	case a.internal && x.minor < 2:
		// Postfix makes 535 of any FAIL, and 454 of a lost connection.
		x.stop()
	default:
		x.sendRaw(x.line(&a))
	}
}
