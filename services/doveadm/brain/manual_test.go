package brain

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// What programs may read is in the manual: a new key that nobody described fails
// here.
func TestManualNamesEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/culver-doveadm-runs.7.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{event{}, header{}, choice{}, digest{}, planHeader{}, planLine{}} {
		form := reflect.TypeOf(v)
		for i := range form.NumField() {
			key, _, _ := strings.Cut(form.Field(i).Tag.Get("json"), ",")
			if page := string(text); !strings.Contains(page, "`"+key+"`") && !strings.Contains(page, "**"+key+"**") && !strings.Contains(page, `"`+key+`":`) {
				t.Errorf("docs/culver-doveadm-runs.7.md does not name %q of %s", key, form)
			}
		}
	}
}
