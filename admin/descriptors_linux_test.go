package admin

import (
	"os"
	"testing"
)

func TestDescriptors(t *testing.T) {
	before, limit := descriptors()
	if before < 3 || limit < before {
		t.Fatalf("%d of %d", before, limit)
	}
	for range 50 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	// Other tests open and close some too.
	if after, _ := descriptors(); after < before+25 {
		t.Errorf("%d before, %d with fifty more", before, after)
	}
}
