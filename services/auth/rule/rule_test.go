package rule

import (
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		rules     Rules
		answer    Answer
		soFar     bool
		verdict   bool
		continues bool
	}{
		{"a yes is the end", Rules{}, Yes, false, true, false},
		{"after a no the next one is asked", Rules{}, No, false, false, true},
		{"and what was so far stays", Rules{}, No, true, true, true},
		{"after a failure too", Rules{}, Broken, true, true, true},
		{"return leaves the verdict as it is", Rules{Success: Return}, Yes, false, false, false},
		{"return-fail turns a yes", Rules{Success: ReturnFail}, Yes, true, false, false},
		{"continue leaves it to the others", Rules{Success: Continue}, Yes, false, false, true},
		{"continue-ok is a yes unless another objects", Rules{Success: ContinueOK}, Yes, false, true, true},
		{"continue-fail is a no unless another says yes", Rules{Failure: ContinueFail}, No, true, false, true},
		{"a no that is to end it", Rules{Failure: ReturnFail}, No, true, false, false},
		{"a failure that is to end it", Rules{Internal: Return}, Broken, true, true, false},
	} {
		r := tt.rules.After(tt.answer)
		if got := r.Verdict(tt.soFar); got != tt.verdict || r.Continues() != tt.continues {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.name, got, r.Continues(), tt.verdict, tt.continues)
		}
	}
	for _, word := range strings.Fields("return-ok return return-fail continue continue-ok continue-fail") {
		if r, err := Parse(word); err != nil || r == Default {
			t.Errorf("%s: got %v, %v", word, r, err)
		}
	}
	if _, err := Parse("break"); err == nil {
		t.Error("break: no error")
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, masks, user string
		want              bool
	}{
		{"without masks all are asked about", "", "bob", true},
		{"one of the masks", "*@a.example,*@b.example", "bob@b.example", true},
		{"none of them", "*@a.example *@b.example", "bob@c.example", false},
		{"left out", "* !bob*", "bob@x", false},
		{"not left out, with a mask to be in", "* !bob*", "alice@x", true},
		{"only who is left out is", "!bob*", "alice", true},
		{"left out wins, wherever it stands", "!bob *", "bob", false},
	} {
		if got := ParseFilter([]string{tt.masks}).Has(tt.user); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
