package brain

import (
	"fmt"
	"strconv"
	"strings"

	"culver/internal/doveadmproto"
)

// reply takes one user's reply as it comes.
type reply struct {
	r       *run
	j       *job
	res     *result
	first   bool  // of the job's steps
	before  int64 // touched by the steps before
	touched int64
	told    bool // the server counts
	idle    bool // the server says that it had not begun
	cells   [dryCells][]byte
	column  int
	planned planned
	err     error // why the rows cannot be printed
}

// What a dry run prints for each message.
const (
	dryMailbox = iota
	dryGUID
	dryValidity
	dryUID
	drySize
	dryAction
	dryCells
)

// Cell takes a piece of a value.
func (k *reply) Cell(piece []byte, last bool) error {
	if k.r.dry {
		if err := k.dryCell(piece, last); err != nil {
			return err
		}
		if k.r.plan != nil {
			return nil
		}
	}
	err := k.r.out.cell(k.j.n, k.j.user, piece, last)
	if err != nil {
		k.err = err
		k.r.halt(fmt.Errorf("standard output: %w", err))
	}
	return err
}

// dryCell gathers a row of a dry run.
func (k *reply) dryCell(piece []byte, last bool) error {
	if len(k.cells[k.column])+len(piece) > maxPlanCell {
		return fmt.Errorf("a cell of the dry run is longer than %d bytes", maxPlanCell)
	}
	k.cells[k.column] = append(k.cells[k.column], piece...)
	if !last {
		return nil
	}
	if k.column++; k.column < dryCells {
		return nil
	}
	size, _ := strconv.ParseInt(string(k.cells[drySize]), 10, 64)
	k.res.bytes = plus(k.res.bytes, max(size, 0))
	k.touched++
	var err error
	if k.r.plan != nil {
		err = k.planned.add(k.cells)
	}
	k.column = 0
	for i := range k.cells {
		k.cells[i] = k.cells[i][:0]
	}
	return err
}

// Log takes a line of the server's.
func (k *reply) Log(level byte, text string) {
	// Our own server begins each line with the name that we write too.
	text = strings.TrimPrefix(text, "doveadm("+k.j.user+"): ")
	if level == doveadmproto.LogDebug && !k.r.g.Debug {
		return
	}
	if text == doveadmproto.NotBegun && k.r.stopped() {
		k.idle = true
		return
	}
	if level >= doveadmproto.LogError {
		k.res.reason, k.res.logged = text, true
	}
	k.r.show.log(k.j.user, level, text)
}

// Touched takes the server's count.
func (k *reply) Touched(n int64) {
	if !k.r.dry {
		k.touched, k.told = n, true
		k.res.touched = plus(k.before, n)
	}
}

// forget undoes what a lost connection told, because it begins again.
func (k *reply) forget() {
	k.res.touched, k.res.bytes = k.before, 0
	k.res.reason, k.res.logged = "", false
}

// close notes the status.
func (k *reply) close(code int, referral string, planned int64) {
	k.res.touched = plus(k.before, k.touched)
	switch {
	case k.idle && code == doveadmproto.TempFail && k.first:
		k.res.fail(code, leftAlone)
		k.res.skipped = true
	case code == 0:
		if k.res.code == 0 {
			k.res.reason, k.res.logged = "", false
		}
	case code == doveadmproto.Referral && referral != "":
		k.res.fail(doveadmproto.TempFail, "the user is on server "+referral+", which no doveadm_server block names")
	case k.res.logged: // the reason is the server's
		k.res.code = worse(k.res.code, code)
	default:
		k.res.fail(code, reasonOf(code))
	}
	if code == 0 && k.told && planned > k.touched {
		k.r.show.log(k.j.user, doveadmproto.LogWarning, fmt.Sprintf("%d of %d planned messages had vanished", planned-k.touched, planned))
		k.r.tally.vanish(planned - k.touched)
	}
	if k.r.dry {
		k.total(code)
	}
}

// total shows what would be done for a user.
func (k *reply) total(code int) {
	if k.r.plan != nil && code == 0 {
		if err := k.r.plan.user(k.j.user, &k.planned); err != nil {
			k.r.halt(err)
		}
	}
	if k.touched == 0 && k.r.many && !k.r.g.Verbose {
		return
	}
	noun := "messages"
	if strings.HasPrefix(k.r.name, "mailbox ") {
		noun = "mailboxes"
	}
	k.r.show.log(k.j.user, doveadmproto.LogInfo, fmt.Sprintf("dry run: %s would touch %d %s, %d bytes", k.r.name, k.touched, noun, k.res.bytes))
}

// broken notes a connection that ended before the status line.
func (k *reply) broken(err error) {
	reason := "connection lost: " + err.Error()
	if k.err != nil { // we ended it, and say why once, for all
		reason = "the rows could not be printed"
	}
	if !k.r.again {
		reason += "; " + unknown
	}
	k.res.touched = plus(k.before, k.touched)
	k.res.fail(doveadmproto.TempFail, reason)
	k.res.logged = k.err != nil
}
