package tidings

import _ "embed"

// OpenAPI is openapi.yaml, the description of the HTTP API. It lies at the root of the repository, where people look for
// it, and so only this package can embed it.
//
//go:embed openapi.yaml
var OpenAPI []byte
