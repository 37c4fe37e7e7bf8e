package archtest

import (
	"bytes"
	"io/fs"
	"os"
)

// readText is the text of a file, "" for a binary or a very long one.
func readText(path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return "", err
	}
	b, err := os.ReadFile(path)
	if bytes.IndexByte(b, 0) >= 0 {
		return "", err
	}
	return string(b), err
}
