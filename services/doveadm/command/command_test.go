package command

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, words ...string) (Parsed, error) {
	t.Helper()
	s, rest, err := Find(words)
	if err != nil {
		return Parsed{}, err
	}
	return s.Parse(rest)
}

func TestWireIsWhatDovecotsClientSends(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"options come first", `search mailbox INBOX all -u alice`, `-u alice -- mailbox INBOX all`},
		{"fields are one word", `fetch|-u|alice|uid hdr|mailbox|INBOX|uid|2`, `-u|alice|--|uid hdr|mailbox|INBOX|uid|2`},
		{"a mask is not sent", `search -u a* all`, `-- all`},
		{"-A is not sent", `search -A all`, `-- all`},
		{"-F is not sent", `search -F file all`, `-- all`},
		{"-S is not sent", `search -S host:1 -u alice all`, `-u alice -- all`},
		{"the last user wins", `search -u bob -u alice all`, `-u alice -- all`},
		{"letters are taken apart", `mailbox list -8su alice`, `-u alice -8 -s --`},
		{"values may be attached", `save -ubob -mINBOX`, `-u bob -m INBOX --`},
		{"save keeps its file", `save -u bob mail.txt`, `-u bob --`},
		{"long options become letters", `expunge --delete-empty-mailbox mailbox Trash all --user=alice`, `-u alice -d -- mailbox Trash all`},
		{"a long option may be cut short", `mailbox delete --recur -u bob x`, `-u bob -r -- x`},
		{"the source user keeps the keyword", `copy -u bob INBOX user alice mailbox Work uid 1`, `-u bob -- INBOX user alice mailbox Work uid 1`},
		{"options without a letter are long", `expunge -u bob --dry-run mailbox Trash all`, `-u bob --dry-run -- mailbox Trash all`},
		{"the client's own are kept back", `expunge -u bob --ordered --journal j mailbox Trash all`, `-u bob -- mailbox Trash all`},
		{"after -- all is argument", `search -u bob -- subject -x`, `-u bob -- subject -x`},
		{"a single dash is an argument", `search -u bob subject -`, `-u bob -- subject -`},
		{"several expectations are kept", `expunge -u bob --if-uidvalidity 1 --if-uidvalidity 2 mailbox a uid 1`, `-u bob --if-uidvalidity 1 --if-uidvalidity 2 -- mailbox a uid 1`},
		{"a batch's options are its commands'", `batch -u bob , search -u x all , quota get`, `-u bob -- , search -u x all , quota get`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sep := " "
			if strings.Contains(tt.line, "|") {
				sep = "|"
			}
			p, err := parse(t, strings.Split(tt.line, sep)...)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.Wire(), sep); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWireIsReadBackAsItself(t *testing.T) {
	p, err := parse(t, "copy", "-u", "bob", "--dry-run", "INBOX", "user", "alice", "mailbox", "Work", "not", "seen")
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Spec.Parse(p.Wire())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Wire(), p.Wire(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := again.Arg("source-user"); got != "alice" {
		t.Errorf("source user: got %q, want alice", got)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"an unknown command", "serch all", "did you mean search?"},
		{"an unknown second word", "mailbox staus all INBOX", "did you mean mailbox status?"},
		{"a misspelt group", "sevice status", "did you mean service status?"},
		{"a group alone", "mailbox", "several commands"},
		{"no query", "search", "missing argument: query"},
		{"no query after the fields", "fetch uid", "missing argument: query"},
		{"an unknown letter", "search -z all", `unknown option "-z"`},
		{"an unknown long option", "expunge --dry-ru --orderd all", "did you mean --ordered?"},
		{"a long option of two meanings", "mailbox update --min INBOX", "may be"},
		{"a value too much", "search --ordered=1 all", "takes no value"},
		{"a value missing", "search all -u", "needs a value"},
		{"an argument too much", "mailbox rename a b c", "too many arguments"},
		{"a keyword without its word", "copy INBOX user", "missing source-user"},
		{"an unknown field", "fetch uid,flags all", "unknown field"},
		{"a misspelt field", "fetch size.phyiscal all", "did you mean size.physical?"},
		{"an unknown status field", "mailbox status message INBOX", "did you mean messages?"},
		{"a field without total", "mailbox status -t guid INBOX", "has no total"},
		{"a plan of nothing", "expunge --plan p mailbox Trash all", "--plan without --dry-run"},
		{"a batch in a batch", "batch , batch ; purge", "cannot be part"},
		{"a batch of unknown commands", "batch , serch all", "did you mean search?"},
		{"two spaces", "mailbox  list", "unknown command"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, strings.Fields(tt.line)...)
			if tt.name == "two spaces" {
				_, err = parse(t, tt.line)
			}
			var usage *UsageError
			if !errors.As(err, &usage) {
				t.Fatalf("got %v, want a usage error", err)
			}
			if !strings.Contains(usage.Error(), tt.want) {
				t.Errorf("got %q, want %q in it", usage.Error(), tt.want)
			}
		})
	}
}

func TestFindTakesWordsTogetherOrApart(t *testing.T) {
	for _, words := range [][]string{{"mailbox status", "x"}, {"mailbox", "status", "x"}} {
		s, rest, err := Find(words)
		if err != nil || s.Name != "mailbox status" || !slices.Equal(rest, []string{"x"}) {
			t.Errorf("%q: got %v %q %v", words, s, rest, err)
		}
	}
	if s, _, err := Find([]string{"auth", "cache", "flush"}); err != nil || s.Name != "auth cache flush" {
		t.Errorf("three words: got %v, %v", s, err)
	}
}

func TestColumnsFollowTheArguments(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"search all", "mailbox-guid uid"},
		{"fetch UID|hdr|hdr.Subject all", "uid hdr hdr.subject"},
		{"mailbox status vsize|messages *", "mailbox messages vsize"},
		{"mailbox status -t all *", "messages recent unseen vsize"},
		{"expunge --dry-run mailbox a all", "mailbox mailbox-guid uidvalidity uid size action"},
		{"batch , search all , quota get", "mailbox-guid uid root type value limit percent"},
		{"who -1", "username service pid ip"},
	} {
		words := strings.Fields(tt.line)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "|", " ")
		}
		p, err := parse(t, words...)
		if err != nil {
			t.Fatal(tt.line, err)
		}
		var keys []string
		for _, c := range p.Columns() {
			keys = append(keys, c.Key)
		}
		if got := strings.Join(keys, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.line, got, tt.want)
		}
	}
}

// A table in which two commands share a name, or one a letter for two options,
// would answer by the order of its rows.
func TestTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Table() {
		if seen[s.Name] {
			t.Errorf("%s stands there twice", s.Name)
		}
		seen[s.Name] = true
		if s.Help == "" {
			t.Errorf("%s has no help", s.Name)
		}
		options := map[string]bool{}
		for _, o := range s.AllOptions() {
			if options[o.Long] || o.Letter != 0 && options[string(o.Letter)] {
				t.Errorf("%s: option -%c --%s stands there twice", s.Name, o.Letter, o.Long)
			}
			options[o.Long], options[string(o.Letter)] = true, o.Letter != 0
			if o.Long == "" || o.Help == "" {
				t.Errorf("%s: option -%c --%s has no long name or no help", s.Name, o.Letter, o.Long)
			}
		}
		for i, a := range s.Args {
			if a.Many && i != len(s.Args)-1 {
				t.Errorf("%s: nothing can follow %s", s.Name, a.Name)
			}
		}
	}
}

func TestInputIsReadOnlyByAnIntactSave(t *testing.T) {
	for line, want := range map[string]bool{"save": true, "save file": true, "save --dry-run": false, "search all": false} {
		p, err := parse(t, strings.Fields(line)...)
		if err != nil || p.ReadsInput() != want {
			t.Errorf("%s: got %v, %v, want %v", line, p.ReadsInput(), err, want)
		}
	}
	p, _ := parse(t, "save", "-U", "7")
	if p.Minor() != 3 {
		t.Errorf("save -U: got minor %d, want 3", p.Minor())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("search\tall")
	f.Add("copy\t-u\tbob\tINBOX\tuser\talice\tall")
	f.Add("batch\t,\tsearch\tall\t,\tfetch\tuid\tall")
	f.Add("mailbox\tstatus\t--tot\tall\t*")
	f.Fuzz(func(t *testing.T, line string) {
		s, rest, err := Find(strings.Split(line, "\t"))
		if err != nil {
			return
		}
		p, err := s.Parse(rest)
		if err != nil || s.Bare || p.Has("help") {
			return
		}
		p.Columns()
		q, err := s.Parse(p.Wire())
		if len(s.Args) > 0 && s.Args[0].Local || p.Has("plan") {
			return // what is not sent cannot come back
		}
		if err != nil || !slices.Equal(q.Wire(), p.Wire()) {
			t.Fatalf("%q: sent as %q, read back as %q, %v", rest, p.Wire(), q.Wire(), err)
		}
	})
}
