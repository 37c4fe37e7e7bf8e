package templates

import (
	"regexp"
	"slices"
	"strings"

	"tidings"
)

var (
	output   = regexp.MustCompile(`(?s)\{\{-?(.*?)-?\}\}`)
	word     = regexp.MustCompile(`\b[A-Za-z_]\w*`)
	filter   = regexp.MustCompile(`\|\s*\w+`)
	property = regexp.MustCompile(`\.\s*\w+`)
	keywords = strings.Fields("and or contains in true false nil null empty blank reversed limit offset cols forloop tablerowloop with")
)

// Variables lists the names of data that the sources use, each once and in order. What a template assigns or loops over
// itself is not data.
func Variables(sources ...string) []string {
	var used, own []string
	for _, source := range sources {
		source = raw.ReplaceAllString(source, "")
		for _, m := range output.FindAllStringSubmatch(source, -1) {
			used = append(used, names(m[1])...)
		}
		for _, m := range tag.FindAllStringSubmatch(source, -1) {
			found := names(m[2])
			if slices.Contains([]string{"for", "tablerow", "assign"}, m[1]) && len(found) > 0 {
				own, found = append(own, found[0]), found[1:]
			}
			if m[1] != "comment" {
				used = append(used, found...)
			}
		}
	}
	slices.Sort(used)
	own = append(own, tidings.UnsubscribeVariable)
	return slices.DeleteFunc(slices.Compact(used), func(n string) bool { return slices.Contains(own, n) })
}

// names are those in an expression, without texts, filters and properties.
func names(expression string) (found []string) {
	expression = textOf.ReplaceAllString(expression, "''")
	expression = property.ReplaceAllString(filter.ReplaceAllString(expression, "|"), "")
	for _, name := range word.FindAllString(expression, -1) {
		if !slices.Contains(keywords, name) {
			found = append(found, name)
		}
	}
	return found
}
