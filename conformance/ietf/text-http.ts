import { clausesOf } from '../kit/clause.ts'

/** What HTTP and its fields ask for, whatever the version of the draft. */
export const HTTP = {
  digestIgnored: clausesOf('RFC 9530').may(
    '2 The Content-Digest Field',
    'A recipient MAY ignore any or all digests.',
  ),
  continue: clausesOf('RFC 9110').must(
    '10.1.1 Expect',
    'Upon receiving an HTTP/1.1 (or later) request that has a method, target URI, and complete header section that contains a 100-continue expectation and an indication that request content will follow, an origin server MUST send either: an immediate response with a final status code … or an immediate 100 (Continue) response',
  ),
} as const
