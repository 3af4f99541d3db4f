package search

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds how much of a query an error quotes on each side of the word
// it points at: a query may be a mebibyte, a log line may not.
const maxShown = 60

// Error is what is wrong with a query, at the word to change.
type Error struct {
	Tokens []string
	Token  int // index in Tokens; len(Tokens) when something is missing at the end
	What   string
	Hint   string // what to do, or ""
}

// Error gives the text, the query, and a caret under the word.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Reason())
	query, at, width := e.quote()
	fmt.Fprintf(&b, "\n  %s\n  %s%s", query, strings.Repeat(" ", at), strings.Repeat("^", width))
	return b.String()
}

// Reason is the text in one line.
func (e *Error) Reason() string {
	if e.Hint == "" {
		return e.What
	}
	return e.What + " (" + e.Hint + ")"
}

// quote gives the query, or the part of it that the error is about, and where
// in it the word lies.
func (e *Error) quote() (query string, at, width int) {
	word := ""
	if e.Token < len(e.Tokens) {
		word = shown(e.Tokens[e.Token])
	}
	before, after := "", ""
	for i := min(e.Token, len(e.Tokens)) - 1; i >= 0; i-- {
		if utf8.RuneCountInString(before) > maxShown {
			before = "... " + before
			break
		}
		before = shown(e.Tokens[i]) + " " + before
	}
	for i := e.Token + 1; i < len(e.Tokens); i++ {
		if utf8.RuneCountInString(after) > maxShown {
			after += " ..."
			break
		}
		after += " " + shown(e.Tokens[i])
	}
	return before + word + after, utf8.RuneCountInString(before), max(1, utf8.RuneCountInString(word))
}

// shown quotes a word as a shell would need it, without what could drive a
// terminal.
func shown(word string) string {
	if len(word) > maxShown {
		cut := maxShown
		for cut > 0 && !utf8.RuneStart(word[cut]) {
			cut--
		}
		word = word[:cut] + "..."
	}
	plain := word != "" && utf8.ValidString(word)
	space := false
	for _, r := range word {
		plain = plain && (unicode.IsPrint(r) && r != '\'')
		space = space || r == ' ' || r == '"'
	}
	switch {
	case !plain:
		return strconv.Quote(word)
	case space:
		return "'" + word + "'"
	}
	return word
}
