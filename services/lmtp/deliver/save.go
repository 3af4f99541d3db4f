package deliver

import (
	"errors"
	"fmt"
	"time"

	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
)

// xfd takes the message whose descriptor came along, and saves it.
func (s *session) xfd(args string) {
	size, err := lmtpproto.ParseXFD(args)
	switch {
	case err != nil:
		s.fail(501, "5.5.4", "Invalid parameters")
		return
	case s.rcpt == nil:
		s.fail(503, "5.5.0", "No valid recipients")
		return
	case s.c.message < 0:
		s.fail(503, "5.5.0", "No message came along")
		return
	}
	d := delivery{session: s, rcpt: s.rcpt, begun: time.Now()}
	if d.msg, err = openMessage(s.c.message, size); err == nil {
		d.originalFromHeader()
		err = d.save()
	} else {
		d.log(logline.Error, "save failed: "+err.Error())
	}
	s.c.out = s.replyFor(err, s.rcpt).Append(s.c.out)
	s.reset()
}

// originalFromHeader: where the client sent no ORCPT, lda_original_recipient_header
// names the header in which the MTA tells the original recipient.
func (d *delivery) originalFromHeader() {
	name := d.settings.String("lda_original_recipient_header")
	if name == "" || d.rcpt.original != "" {
		return
	}
	env, err := lmtpproto.ParseRcpt("TO:<"+bareAddress(d.header(name))+">", lmtpproto.Workarounds{})
	if err == nil {
		d.rcpt.original = env.Path.String()
	}
}

// delivery is one message on its way into one user's mail.
type delivery struct {
	*session
	rcpt  *recipient
	msg   *message
	begun time.Time
	saved maildir.Saved
}

// save puts the message into the folder of the address, or else into INBOX
// (spec/lmtp.md 11). A temporary failure of the folder is the end: the next
// try may find it well.
func (d *delivery) save() error {
	m := maildir.Message{Head: d.head(), Body: d.msg, Size: d.msg.size, Wanted: d.c.awaited}
	if name := d.detail(d.rcpt); name != "" {
		err := d.saveTo(name, m)
		if err == nil || classOf(err) == temporary {
			return err
		}
	}
	return d.saveTo("", m)
}

func (d *delivery) saveTo(name string, m maildir.Message) error {
	f, err := d.open(name)
	if err != nil {
		if name == "" {
			name = "INBOX"
		}
		d.log(levelOf(err), fmt.Sprintf("save failed to open mailbox %s: %v", clean(name, maxMailbox), err))
		return err
	}
	keep := false
	defer func() {
		if !keep {
			f.Close()
		}
	}()
	if d.saved, err = f.Save(m); err != nil {
		d.log(levelOf(err), fmt.Sprintf("save failed to %s: %v", clean(f.Name, maxMailbox), err))
		return err
	}
	d.log(logline.Info, "saved mail to "+clean(f.Name, maxMailbox))
	if d.session.tidy == nil {
		d.session.tidy, keep = f, true
	}
	return nil
}

func (d *delivery) open(name string) (*maildir.Folder, error) {
	if name == "" {
		return d.rcpt.store.Inbox()
	}
	return d.rcpt.store.Folder(name, maildir.Create{
		Always:    d.settings.Bool("lda_mailbox_autocreate"),
		Subscribe: d.settings.Bool("lda_mailbox_autosubscribe"),
	})
}

// class is what an error means for the sender.
type class int

const (
	temporary class = iota // a later try may succeed; what is unknown is this
	overQuota
	otherFolder // this folder cannot be had, INBOX may
)

// classOf is the one place where an error gets its class.
func classOf(err error) class {
	switch {
	case errors.Is(err, maildir.ErrQuota):
		return overQuota
	case errors.Is(err, maildir.ErrNoFolder), errors.Is(err, maildir.ErrName), errors.Is(err, maildir.ErrDenied):
		return otherFolder
	}
	return temporary
}

// levelOf: a full mailbox is its user's business, all else somebody's who must act.
func levelOf(err error) logline.Level {
	switch {
	case errors.Is(err, maildir.ErrDenied):
		return logline.Error
	case classOf(err) == temporary:
		return logline.Error
	}
	return logline.Info
}

// replyFor is the one place where an error becomes an answer (spec/lmtp.md 6).
// Nothing here is permanent but a quota that the administrator calls so.
func (s *session) replyFor(err error, r *recipient) lmtpproto.Reply {
	to := "<" + r.path.String() + "> "
	if err == nil {
		return lmtpproto.Reply{Code: 250, Enhanced: "2.0.0", Text: to + s.client.session + " Saved"}
	}
	if classOf(err) == overQuota {
		text := to + maildir.ErrQuota.Error()
		if s.settings.Bool("quota_full_tempfail") {
			return lmtpproto.Reply{Code: 452, Enhanced: "4.2.2", Text: text}
		}
		return lmtpproto.Reply{Code: 552, Enhanced: "5.2.2", Text: text}
	}
	text := "Internal error occurred. Refer to server log for more information. [" +
		s.now().Format("2006-01-02 15:04:05") + "]"
	if s.settings.Bool("lmtp_verbose_replies") {
		text = clean(err.Error(), maxHeaderValue)
	}
	return lmtpproto.Reply{Code: 451, Enhanced: "4.2.0", Text: to + text}
}
