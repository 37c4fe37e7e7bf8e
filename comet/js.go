package comet

import _ "embed"

// JS is the browser's end, one ES module without dependencies: serve it as text/javascript.
//
//go:embed js/tidings.js
var JS []byte

// Types are JS's types for TypeScript.
//
//go:embed js/tidings.d.ts
var Types []byte
