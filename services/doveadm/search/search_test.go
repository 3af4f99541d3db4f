package search

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// noon of a day in 2022 is the now of these tests.
var noon = Env{Now: time.Date(2022, 6, 30, 12, 0, 0, 0, time.UTC)}

// String shows a node as a call, for tests.
func (n *Node) String() string {
	names := map[Key]string{And: "and", Or: "or", Not: "not", Fuzzy: "fuzzy", InThread: "inthread", MimePart: "mimepart", All: "all",
		None: "none", Seq: "seq", UID: "uid", Flag: "flag", Keyword: "keyword", Recent: "recent", Before: "before", On: "on", Since: "since",
		Larger: "larger", Smaller: "smaller", Address: "address", Header: "header", Body: "body", Text: "text", Mailbox: "mailbox",
		MailboxGlob: "glob", MailboxGUID: "mailboxguid", GUID: "guid", ModSeq: "modseq", OldestOnly: "oldestonly"}
	var args []string
	for _, k := range n.Kids {
		args = append(args, k.String())
	}
	switch n.Key {
	case Before, On, Since:
		args = append(args, []string{"received", "sent", "saved"}[n.Which])
		if n.Date.Day {
			args = append(args, time.Unix(n.Date.Unix, 0).UTC().Format("2006-01-02"))
		} else {
			args = append(args, fmt.Sprint(n.Date.Unix))
		}
	case Larger, Smaller, ModSeq:
		args = append(args, fmt.Sprint(n.Number))
	case Seq, UID:
		args = append(args, fmt.Sprint(n.Set))
	}
	for _, s := range []string{n.Name, n.Text} {
		if s != "" {
			args = append(args, s)
		}
	}
	name := names[n.Key]
	if name == "" {
		name = fmt.Sprintf("part%d", n.Key)
	}
	if len(args) == 0 {
		return name
	}
	return name + "(" + strings.Join(args, " ") + ")"
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, query, want string }{
		{"every message", "all", "all"},
		{"words side by side are AND", "mailbox INBOX seen", "and(mailbox(INBOX) flag(seen))"},
		{"OR stands between", "seen or flagged or new", "or(flag(seen) flag(flagged) and(recent not(flag(seen))))"},
		{"parentheses keep OR apart", "mailbox INBOX ( seen OR flagged )", "and(mailbox(INBOX) or(flag(seen) flag(flagged)))"},
		{"a group may begin an OR", "( seen draft ) or deleted", "or(and(flag(seen) flag(draft)) flag(deleted))"},
		{"NOT takes one term", "not seen flagged", "and(not(flag(seen)) flag(flagged))"},
		{"NOT NOT", "not NOT seen", "not(not(flag(seen)))"},
		{"UN... is NOT", "unseen undeleted old", "and(not(flag(seen)) not(flag(deleted)) not(recent))"},
		{"an operand may look like a key", "subject or from not", "and(header(Subject or) address(From not))"},
		{"sequence numbers", "1,3:5,9:*", "seq([{1 1} {3 5} {9 0}])"},
		{"a range in either order", "5:3", "seq([{3 5}])"},
		{"the last mail", "uid *", "uid([{0 0}])"},
		{"a star first", "uid *:4", "uid([{4 0}])"},
		{"keywords", "keyword $Label1 unkeyword Junk", "and(keyword($Label1) not(keyword(Junk)))"},
		{"a calendar day", "before 3-Jun-2022 since 2022-06-01", "and(before(received 2022-06-03) since(received 2022-06-01))"},
		{"any case of the month", "senton 03-jUN-2022", "on(sent 2022-06-03)"},
		{"unix seconds", "savedbefore 1654041600", "before(saved 1654041600)"},
		{"any number is seconds", "on 1", "on(received 1)"},
		{"an interval", "savedsince 30d", "since(saved 1653998400)"},
		{"an interval in words", "x-savedon 2_weeks", "on(saved 1655380800)"},
		{"any prefix of a unit", "before 1Hou", "before(received 1656586800)"},
		{"milliseconds that are seconds", "before 2000ms", "before(received 1656590398)"},
		{"IMAP's date and time", "since 30-Jun-2022_10:00:00_+0200", "since(received 1656576000)"},
		{"older includes its moment", "older 60", "before(received 1656590341)"},
		{"younger includes its moment", "younger 60", "since(received 1656590340)"},
		{"sizes", "larger 1k smaller 2_MiB larger 3kB", "and(larger(1024) smaller(2097152) larger(3072))"},
		{"any header", "header X-Spam yes", "header(X-Spam yes)"},
		{"a mailbox pattern", "mailbox Lists/%", "glob(Lists/%)"},
		{"modified UTF-7", "x-mailbox &AMk-t&AOk-", "glob(Été)"},
		{"modseq", "modseq 5", "modseq(5)"},
		{"modseq of a flag", `modseq /flags/\Seen all 5`, "modseq(5)"},
		{"threads", "inthread refs ( from a or from b )", "inthread(or(address(From a) address(From b)) refs)"},
		{"parts", "mimepart ( type image subtype png )", fmt.Sprintf("mimepart(and(part%d(image) part%d(png)))", PartType, PartSubtype)},
		{"the rest", "oldestonly $ fuzzy body x guid g savedatesupported", "and(oldestonly none fuzzy(body(x)) guid(g) all)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q, err := Parse(words(tt.query), noon)
			if err != nil {
				t.Fatal(err)
			}
			if got := q.Root.String(); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.query, got, tt.want)
			}
		})
	}
}

// words splits a query of these tests; "_" is a blank within a word.
func words(query string) []string {
	tokens := strings.Fields(query)
	for i := range tokens {
		tokens[i] = strings.ReplaceAll(tokens[i], "_", " ")
	}
	return tokens
}

func TestParseErrorsPointAtTheWord(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, query string
		token       int
		what        string
	}{
		{"nothing", "", 0, "empty"},
		{"an unknown key", "mailbox INBOX form bob", 2, `did you mean from?`},
		{"terms before OR are not swallowed", "mailbox INBOX seen or flagged", 3, "mixed"},
		{"AND after OR", "seen or flagged draft", 3, "mixed"},
		{"OR first", "or seen draft", 0, "use parentheses"},
		{"OR last", "seen or", 2, "missing after OR"},
		{"OR twice", "seen or or draft", 2, "between two ORs"},
		{"NOT OR", "not or seen", 1, "before OR"},
		{"an open parenthesis", "( seen ( draft )", 5, "missing ')'"},
		{"a closing one too many", "seen ) draft", 1, "unexpected ')'"},
		{"empty parentheses", "( ) seen", 1, "nothing in the parentheses"},
		{"a missing operand", "mailbox", 1, "MAILBOX wants a value"},
		{"a missing term", "seen not", 2, "missing"},
		{"set with 0", "uid 0", 1, "set"},
		{"a set that is none", "1:2:3", 0, "set"},
		{"a month that is a day", "before 2022-6-1", 1, "not a date"},
		{"a day that no month has", "before 31-Feb-2022", 1, "not a date"},
		{"today", "since today", 1, "not a date"},
		{"years", "since 1y", 1, "not a date"},
		{"too long an interval", "since 99999w", 1, "too long"},
		{"older with a unit", "older 1d", 1, "number of seconds"},
		{"a size that is none", "larger 1x", 1, "size"},
		{"a size too large", "larger 9999999999T", 1, "size"},
		{"a keyword with a blank", "keyword a_b", 1, "keyword"},
		{"a keyword that is none", "keyword \\Seen", 1, "keyword"},
		{"not UTF-8", "subject \xff", 1, "UTF-8"},
		{"a header that is none", "header a: b", 1, "header field"},
		{"an unknown algorithm", "inthread x all", 1, "algorithm"},
		{"whole messages in a part", "mimepart seen", 1, "MIMEPART"},
		{"depth", strings.Repeat("not ", 200) + "seen", maxDepth, "deeply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(words(tt.query), noon)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an Error", err)
			}
			if e.Token != tt.token || !strings.Contains(err.Error(), tt.what) {
				t.Errorf("got word %d: %v; want word %d and %q", e.Token, err, tt.token, tt.what)
			}
		})
	}
}

func TestErrorShowsTheQuery(t *testing.T) {
	t.Parallel()
	_, err := Parse([]string{"mailbox", "Old Mail", "form", "bob"}, noon)
	want := "unknown search key form (did you mean from?)\n  mailbox 'Old Mail' form bob\n" +
		"                     ^^^^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v, want\n%s", err, want)
	}
	long := slices.Repeat([]string{"seen"}, 1000)
	long[500] = "\x1b[2Jx"
	_, err = Parse(long, noon)
	if err == nil || len(err.Error()) > 600 || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("got %q, want a short text without control bytes", err)
	}
}

func TestSetsCountStarsAsDovecotDoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		set      string
		seq, uid []uint32 // of messages 1-4 with UIDs 10, 20, 30, 40
	}{
		{"*", []uint32{4}, []uint32{40}},
		{"9:*", []uint32{4}, []uint32{10, 20, 30, 40}},
		{"41:*", []uint32{4}, nil},
		{"2:3", []uint32{2, 3}, nil},
		{"20:30", nil, []uint32{20, 30}},
		{"1,40", []uint32{1}, []uint32{40}},
		{"*:*", []uint32{4}, []uint32{40}},
	} {
		s, ok := parseSet(tt.set)
		if !ok {
			t.Fatal(tt.set)
		}
		var seq, uid []uint32
		for i := uint32(1); i <= 4; i++ {
			if s.HasSeq(i, 4) {
				seq = append(seq, i)
			}
			if s.HasUID(10*i, 40) {
				uid = append(uid, 10*i)
			}
		}
		if !slices.Equal(seq, tt.seq) || !slices.Equal(uid, tt.uid) {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.set, seq, uid, tt.seq, tt.uid)
		}
	}
}

func TestADayIsTheDayThatTheMessageShows(t *testing.T) {
	t.Parallel()
	tokyo := 9 * 60 * 60
	late := time.Date(2022, 6, 30, 20, 0, 0, 0, time.UTC).Unix() // 1 July in Tokyo
	for _, word := range []string{"2022-06-30", "30-Jun-2022"} {
		d, _, what := parseDate(word, noon.Now)
		if what != "" {
			t.Fatal(what)
		}
		if !d.On(late, 0) || d.On(late, tokyo) || d.Before(late, 0) || !d.Since(late, tokyo) {
			t.Errorf("%s: on %v, on in Tokyo %v, before %v, since %v; want true, false, false, true",
				word, d.On(late, 0), d.On(late, tokyo), d.Before(late, 0), d.Since(late, tokyo))
		}
	}
	moment := Date{Unix: late}
	if !moment.On(late, tokyo) || moment.Before(late, tokyo) || !moment.Before(late-1, tokyo) || moment.On(late+day, 0) {
		t.Error("a moment must be the same in all zones")
	}
}

func TestMailboxesThatAQueryIsAbout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		query        string
		all          bool
		names, globs []string
	}{
		{"seen", true, nil, nil},
		{"mailbox INBOX seen", false, []string{"INBOX"}, nil},
		{"( mailbox INBOX seen ) draft", false, []string{"INBOX"}, nil},
		{"mailbox Lists/* seen", false, nil, []string{"Lists/*"}},
		{"mailbox A* mailbox Ab", false, []string{"Ab"}, nil},
		{"not mailbox INBOX", true, nil, nil},
		{"mailbox A or mailbox B", false, nil, []string{"A", "B"}},
		{"( mailbox A seen ) or ( mailbox B* draft )", false, nil, []string{"A", "B*"}},
		{"mailbox A or seen", true, nil, nil},
		{"mailbox-guid 00 all", true, nil, nil},
		{"$ all", false, nil, nil},
	} {
		q, err := Parse(words(tt.query), noon)
		if err != nil {
			t.Fatal(err)
		}
		if m := q.Mailboxes(); m.All != tt.all || !slices.Equal(m.Names, tt.names) || !slices.Equal(m.Globs, tt.globs) {
			t.Errorf("%s: got %+v, want %v %v %v", tt.query, m, tt.all, tt.names, tt.globs)
		}
	}
}

func TestSafeToExpunge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		query string
		want  error
	}{
		{"mailbox Trash all", nil},
		{"mailbox Trash savedbefore 30d", nil},
		{"( mailbox Trash seen ) or ( mailbox Junk draft )", nil},
		{"mailbox-guid 00 seen", nil},
		{"mailbox * all", nil},
		{"all", errAnyMailbox},
		{"mailbox Trash or seen", errAnyMailbox},
		{"not mailbox INBOX seen", errAnyMailbox},
		{"mailbox Trash", errAnyMessage},
		{"mailbox Trash not mailbox INBOX", errAnyMessage},
		{"( mailbox Trash seen ) or mailbox Junk", errAnyMessage},
	} {
		q, err := Parse(words(tt.query), noon)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.SafeToExpunge(); err != tt.want {
			t.Errorf("%s: got %v, want %v", tt.query, err, tt.want)
		}
	}
}

func TestFixMakesOneMomentOfNow(t *testing.T) {
	t.Parallel()
	in := words("mailbox Trash ( savedbefore 30d or older 60 ) since 2022-06-01 subject 30d")
	want := "mailbox Trash ( savedbefore 1653998400 or BEFORE 1656590341 ) since 2022-06-01 subject 30d"
	got, err := Fix(in, noon)
	if err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"mailbox Trash savedbefore 30d", "( seen or flagged ) uid 1,3:*", "mimepart ( filename begins a.b )",
		"not not x", "inthread refs header a b", "modseq /flags/x all 5", "larger 1_KiB", "x-mailbox &AMk-", "\xff", "( ( )"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tokens := words(s)
		q, err := Parse(tokens, noon)
		fixed, fixErr := Fix(tokens, noon)
		if (err == nil) != (fixErr == nil) {
			t.Fatalf("Parse says %v, Fix %v", err, fixErr)
		}
		if err != nil {
			_ = err.Error()
			return
		}
		again, err := Parse(fixed, Env{Now: noon.Now.Add(time.Hour)})
		if err != nil || again.Root.String() != q.Root.String() {
			t.Fatalf("%q fixed is %q: %v, %v", tokens, fixed, again, err)
		}
		q.Mailboxes()
		q.SafeToExpunge()
	})
}
