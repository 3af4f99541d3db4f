package worker

import (
	"strings"
	"testing"

	"culver/internal/doveadmproto"
)

// What a front asks for that was taken over, and has a ticket for something else.
func TestAWorkerDoesOnlyWhatItsTicketWasFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, commands, line string
		refused              string // the command that the log names; "" for none
	}{
		{"the command", "search", "search mailbox INBOX all", ""},
		{"any, where the front is the local one", "", "search mailbox INBOX all", ""},
		{"another", "search", "expunge mailbox INBOX all", "expunge"},
		{"one of two words", "mailbox list", "mailbox_list", ""},
		{"the same, word by word", "mailbox list", "mailbox list", ""},
		{"another one of that group", "mailbox list", "mailbox_delete Lists", "mailbox delete"},
		{"its name in capitals is no command", "search", "SEARCH mailbox INBOX all", "unknown command"},
		{"a batch and all that is in it", "batch\tsearch", "batch , search mailbox INBOX all , search mailbox INBOX all", ""},
		{"a batch with a stranger in it", "batch\tsearch", "batch , search mailbox INBOX all , expunge mailbox INBOX all", "expunge"},
		{"a batch in a batch", "search", "batch , search mailbox INBOX all", "batch"},
		{"a batch without its inner commands", "batch", "batch , search mailbox INBOX all", "search"},
		{"the source's half of a copy", "copy", "export -- copy mailbox INBOX uid 99", ""},
		{"that of a move, with leave to copy", "copy", "export -- move mailbox INBOX all", "move"},
		{"that of an import, with leave to move", "move", "export -- import maildir:/x all", "import"},
		{"a search that would take mail away", "search", "export -- search mailbox INBOX all", "(export)"},
		{"export by name", "export\tsearch", "export all", "(export)"},
		{"a half of nothing", "copy", "export --", "(export)"},
		{"not a part of a name", "flags add", "flags remove \\Seen all", "flags remove"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			u.commands = tt.commands
			args := strings.Fields(tt.line)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "_", " ")
			}
			f := u.begin(args[0], args[1:]...)
			if tt.refused == "" && args[0] == exportCommand {
				f.packet(doveadmproto.ChPeer, "GO\tcopy\trun\n")
			}
			got := f.reply(func([]byte) {})
			logs := strings.Join(got.logs, "\n")
			switch tt.refused {
			case "":
				if got.code != doveadmproto.OK && !strings.HasPrefix(tt.line, "export") || strings.Contains(logs, "ticket") {
					t.Errorf("got code %d, log %q", got.code, logs)
				}
			case "unknown command":
				if got.code != doveadmproto.Usage {
					t.Errorf("got code %d, log %q", got.code, logs)
				}
			default:
				if want := tt.refused + " is not what the ticket was for"; got.code != doveadmproto.NoPerm || !strings.Contains(logs, want) {
					t.Errorf("got code %d, log %q, want %d, %q", got.code, logs, doveadmproto.NoPerm, want)
				}
			}
		})
	}
}

// Refused means that nothing was done, and nothing after it is.
func TestARefusedCommandOfABatchEndsIt(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.mail("INBOX", 1, "", "Subject: x\n\nx\n")
	u.commands = "batch\tsearch"
	got := u.begin("batch", strings.Fields("; expunge mailbox INBOX all ; search mailbox INBOX all")...).reply(nil)
	if got.code != doveadmproto.NoPerm || len(got.values) != 0 {
		t.Errorf("got %+v", got)
	}
	u.commands = ""
	if got := u.run("search mailbox INBOX all").uids(); got != "1" {
		t.Errorf("mail that is left: %q, want 1", got)
	}
}
