import { clausesOf, ofSomeDrafts } from '../kit/clause.ts'

/**
 * What draft-12 asks of servers. Its interop version is 8, as is that of draft-09 to draft-11, which ask for a little
 * less.
 */
const { must, should, may, means, choice, advice } = clausesOf('draft-ietf-httpbis-resumable-upload-12')

const UNIQUE = '4 Upload Resource'
const STATE_OFFSET = '4.1.1 Offset'
const COMPLETENESS = '4.1.2 Completeness'
const LENGTH = '4.1.3 Length'
const LIMITS = '4.1.4 Limits'
const CREATION = '4.2 Upload Creation'
const OFFSET = '4.3 Offset Retrieval'
const APPEND = '4.4 Upload Append'
const CANCEL = '4.5 Upload Cancellation'
const CONCURRENCY = '4.6 Concurrency'
const VERSION = 'Draft Version Identification'

export const V8 = {
  unique: should(UNIQUE, 'An upload resource SHOULD be unique.'),

  // 4.1 State
  offsetStays: must(
    STATE_OFFSET,
    'Representation data processed by the upload resource cannot be removed again and, therefore, the offset MUST NOT decrease.',
  ),
  flagIgnored: must(
    COMPLETENESS,
    '`Upload-Complete` is an Item Structured Header Field. Its value is a Boolean and indicates whether the upload is complete or not. Other values MUST cause the entire header field to be ignored.',
  ),
  itemParameters: advice(
    COMPLETENESS,
    'An Item of a structured field may carry parameters (RFC 9651 § 3.3); the draft defines none, and a later one may.',
  ),
  fullIsNotComplete: means(
    LENGTH,
    'Note that the length and offset values do not determine whether an upload is complete. Instead, the client uses the `Upload-Complete` header field to indicate that a request completes the upload. The offset could match the length, but the upload can still be incomplete.',
  ),
  lengthIgnored: must(
    LENGTH,
    'Its value is a non-negative Integer and indicates the number of bytes of the entire representation data. Other values MUST cause the entire header field to be ignored.',
  ),
  lengthsMatch: must(
    LENGTH,
    'If indicators (1) and (2) are both present in the same request, their indicated lengths MUST match. If multiple requests include indicators, their indicated values MUST match.',
  ),
  lengthTwice: choice(
    LENGTH,
    'There are two different ways for the client to indicate and the server to discover the length … 2. The request can include the `Upload-Length` header field defined below.',
  ),
  minAppendSize: means(
    LIMITS,
    'This limit does not apply to upload creation requests with no content, or to requests completing the upload by including the `Upload-Complete: ?1` header field.',
  ),
  limitsStay: should(
    LIMITS,
    '`max-size` and `max-append-size` SHOULD NOT decrease. * `min-size` and `min-append-size` SHOULD NOT increase.',
  ),
  lifetime: should(
    LIMITS,
    "Between subsequent responses, the end of the upload resource's lifetime as implied by `max-age` SHOULD NOT decrease.",
  ),
  options: ofSomeDrafts(
    must(
      LIMITS,
      'When responding to an `OPTIONS` request without the `Upload-Complete` header field, if the resource that is the target of the request supports the creation of a resumable upload resource, the server MUST include the `Upload-Limit` header field with the corresponding limits in the response.',
    ),
  ),
  limitsNotEmpty: ofSomeDrafts(
    must(
      LIMITS,
      'If the server does not apply any limits, it MUST use `min-size=0` instead of an empty header value.',
    ),
  ),
  optionsNotLaxer: should(
    LIMITS,
    'the limits announced in an `OPTIONS` response SHOULD NOT be less restrictive than the limits applied to an upload once the upload resource has been created, unless the request to create an upload resource included additional information that warrants different limits.',
  ),
  tooLarge: should(
    LIMITS,
    'A server responding with a `413 (Content Too Large)` status code as a result of its upload limits SHOULD include the `Upload-Limit` header field in this response if possible.',
  ),

  // 4.2 Upload Creation
  announcing: should(
    CREATION,
    'If so, the server SHOULD announce the upload resource by sending an interim response with the `104 (Upload Resumption Supported)` status code unless the server is not capable of sending interim responses.',
  ),
  announcement: must(
    CREATION,
    'When sent, it MUST include `Location` header field pointing to the upload resource and MUST include the `Upload-Limit` header field with the corresponding limits if existing.',
  ),
  creationWhole: means(
    CREATION,
    'If the request content was fully processed, no resumable upload is needed and the server proceeds to process the request and generate a response.',
  ),
  emptyCreation: choice(
    CREATION,
    "The request content can be empty. … An `Upload-Complete` header field set to false is also valid. This can be used to retrieve the upload resource's URI before transferring any representation data.",
  ),
  emptyFile: may(
    CREATION,
    'The request content can be empty. If the `Upload-Complete` header field is then set to true, the client intends to upload an empty representation.',
  ),
  location: must(
    CREATION,
    'If the request content was fully processed, the server MUST include the `Location` response header field pointing to the upload resource and MUST include the `Upload-Limit` header field with the corresponding limits if existing.',
  ),
  creationStatus: should(CREATION, 'Servers are RECOMMENDED to use the `201 (Created)` status code.'),
  lengthRecorded: must(
    CREATION,
    'The server MUST record the length according to … if the `Upload-Length` or `Upload-Complete: ?1` header fields are included in the request.',
  ),
  sameLocation: ofSomeDrafts(
    must(
      CREATION,
      'Where a response requires a `Location` header field to be included, all interim and final response messages for the same request MUST contain an identical `Location` value.',
    ),
  ),
  creationFlag: should(
    CREATION,
    'The server SHOULD include the `Upload-Complete` header field in the response to indicate whether it is the result of processing the uploaded representation.',
  ),
  creationKept: should(
    CREATION,
    'In this case, the server SHOULD append as much of the request content as possible to the upload resource, allowing the client to resume the upload from where it was interrupted.',
  ),
  creationNotComplete: must(
    CREATION,
    'In addition, the upload resource MUST NOT be considered complete then.',
  ),
  refusedUnannounced: advice(
    CREATION,
    'A client that is told of an upload resource may keep it, and try again with what was refused.',
  ),

  // 4.3 Offset Retrieval
  headOffset: must(
    OFFSET,
    'A successful response to a `HEAD` or `GET` request against an upload resource - MUST include the offset in the `Upload-Offset` header field',
  ),
  headComplete: must(
    OFFSET,
    'MUST include the `Upload-Complete` header field indicating whether a final response was produced from processing the uploaded representation',
  ),
  headLength: must(
    OFFSET,
    'MUST include the length in the `Upload-Length` header field, unless the client has not supplied one',
  ),
  headLimits: must(OFFSET, 'MUST indicate the limits in the `Upload-Limit` header field'),
  headNoStore: should(
    OFFSET,
    'SHOULD include the `Cache-Control` header field with the value `no-store` to prevent HTTP caching',
  ),
  headRedirect: should(
    OFFSET,
    'The resource SHOULD NOT generate a response with the `301 (Moved Permanently)` and `302 (Found)` status codes because clients might follow the redirect without preserving the `HEAD` method.',
  ),
  headUnknown: advice(OFFSET, 'The text does not say what HEAD gets where there is no upload resource.'),
  headUnknownLength: advice(OFFSET, 'A length that no client gave can only be a guess.'),
  headWithoutVersion: advice(
    OFFSET,
    'The header of the interop version decides about 104 responses alone; a browser that opens the URL does not send it.',
  ),
  headAfterLoss: advice(
    OFFSET,
    'A client that lost the final answer asks HEAD: what that answer told should not be lost with it (draft-11 § Responses to Uploads).',
  ),

  // 4.4 Upload Append
  appendKept: should(
    APPEND,
    'In this case, the server SHOULD append as much of the patch document as possible to the upload resource, starting at its beginning and without discontinuities.',
  ),
  appendNotComplete: must(APPEND, 'In addition, the upload resource MUST NOT be considered complete then.'),
  appendMismatch: must(
    APPEND,
    'If the `Upload-Offset` request header field value does not match the current offset, the server MUST reject the request with a `409 (Conflict)` status code',
  ),
  appendMismatchOffset: must(
    APPEND,
    'The response MUST include the correct offset in the `Upload-Offset` header field.',
  ),
  appendMismatchFlag: ofSomeDrafts(
    must(
      APPEND,
      'the server MUST reject the request with a `409 (Conflict)` status code and the `Upload-Complete` header field set to false.',
    ),
  ),
  appendPart: means(
    APPEND,
    'If the request content was fully processed, the server acknowledges the appended data by sending a `2xx (Successful)` response with the `Upload-Complete` header field set to false.',
  ),
  appendFlag: should(
    APPEND,
    'The server SHOULD include the `Upload-Complete` header field in the response to indicate whether it is the result of processing the uploaded representation.',
  ),
  appendEnd: must(
    APPEND,
    'However, the response MUST include the `Upload-Complete` header field with a true value, allowing clients to identify whether a response, in particular error responses, is related to the resumable upload itself or the processing of the uploaded representation.',
  ),
  appendEndEmpty: means(
    APPEND,
    'the request has no content. Once the request is processed by the server, the upload is complete.',
  ),
  appendReplay: may(
    APPEND,
    'The server can choose to replay the final response to the client if the request to append to the completed upload is valid.',
  ),
  appendLengthRecorded: must(
    APPEND,
    'The server MUST record the length according to … if the `Upload-Length` or `Upload-Complete` header fields are included in the request.',
  ),
  appendBeyond: must(
    APPEND,
    'If the length is known, the server MUST prevent the offset from exceeding the upload length by rejecting the request once the offset exceeds the length, marking the upload resource invalid and rejecting any further interaction with it.',
  ),
  appendInterim: should(
    APPEND,
    'While the request content is being processed, the server SHOULD send interim responses with a `104 (Upload Resumption Supported)` status code and the `Upload-Offset` header field set to the current offset to inform the client about the upload progress.',
  ),
  appendInterimLocation: must(
    APPEND,
    'These interim responses MUST NOT include the `Location` header field.',
  ),
  appendMalformed: advice(
    APPEND,
    'Clients have to send Upload-Offset and Upload-Complete; the text does not say what a server does without them.',
  ),
  appendContentType: advice(
    APPEND,
    'PATCH applies application/partial-upload; the text does not say what it does with another type (RFC 5789 § 2.2 has 415).',
  ),
  appendUnknown: advice(
    APPEND,
    'The text does not say what an append gets where there is no upload resource.',
  ),

  // 4.5 Upload Cancellation, 4.6 Concurrency
  cancelled: should(
    CANCEL,
    'Upon receiving a `DELETE` request, the server SHOULD deactivate the upload resource.',
  ),
  cancelEnds: should(
    CANCEL,
    'The server SHOULD terminate any in-flight requests to the upload resource before sending the response by abruptly terminating their HTTP connection(s) or stream(s)',
  ),
  cancelRedirect: should(
    CANCEL,
    'The server SHOULD NOT generate a response with the `301 (Moved Permanently)` and `302 (Found)` status codes because clients might follow the redirect without preserving the `DELETE` method.',
  ),
  offsetAccepted: must(
    CONCURRENCY,
    'This means that the offset sent by the server MUST be accepted in a subsequent request to append representation data if no other request to append representation data or cancel was received in the meantime.',
  ),
  noRaces: must(
    CONCURRENCY,
    'the server MUST take measures to prevent race conditions, data loss and corruption from concurrent requests to append representation data and/or cancellation to the same upload resource.',
  ),
  olderEnded: should(
    CONCURRENCY,
    'the server SHOULD prevent race conditions, data loss, and corruption by terminating the previous request before processing the new request.',
  ),

  // 5 and after
  continue: must(
    '5 Status Code 104 (Upload Resumption Supported)',
    'the server MUST NOT omit the `100 (Continue)` response because it has sent an interim response with the `104 (Upload Resumption Supported)` status code.',
  ),
  noMinimum: means(
    '6 Media Type application/partial-upload',
    'There is no minimum block size and the block might be empty.',
  ),
  problemOffset: may(
    '7.1 Mismatching Offset',
    "A server can use this problem type when responding to an upload append request to indicate that the `Upload-Offset` header field in the request does not match the upload resource's offset.",
  ),
  problemMembers: should(
    '7.1 Mismatching Offset',
    'A response using this problem type SHOULD populate both members',
  ),
  problemLength: may(
    '7.2 Inconsistent Length',
    'A server can use this problem type when responding to an upload creation or upload append request to indicate that the request includes inconsistent upload length values',
  ),
  problemLengthStatus: should(
    '14.4 HTTP Problem Types',
    'Inconsistent Upload Length Values … Recommended HTTP status code: … 400',
  ),
  contentCoding: means(
    '8 Content Codings',
    'both the client and the server always compute the values for `Upload-Offset` and optionally `Upload-Length` on the content coded data',
  ),
  appendCoding: advice(
    '8 Content Codings',
    'An append goes on with the codings of its creation, and does not name them: one that does would mix two.',
  ),
  transferCoding: means(
    '9 Transfer Codings',
    'a server is responsible for transfer decoding the message before computing the upload offset.',
  ),
  chunked: advice(
    '9 Transfer Codings',
    'Clients that stream send chunks without a Content-Length; HTTP/1.1 lets a server insist on one with 411 (RFC 9112 § 6.3).',
  ),
  reprDigest: should(
    '10.1 Representation Digests',
    "If the digests don't match, the server SHOULD consider the upload failed, not process the representation further, and signal the failure to the client.",
  ),
  reprDigestWanted: should(
    '10.1 Representation Digests',
    'The server SHOULD compute the representation digests using the preferred algorithms once the upload is complete and include the corresponding `Repr-Digest` header field in the response.',
  ),
  contentDigest: should(
    '10.2 Content Digests',
    "If the digests don't match the server SHOULD consider the transfer failed, not append the content to the upload resource, and signal the failure to the client.",
  ),
  authorized: should(
    '13 Security Considerations',
    'SHOULD ensure that only authorized clients can access the upload resource',
  ),
  version: must(
    VERSION,
    'Server implementations of draft versions of the protocol MUST also send a header field `Upload-Draft-Interop-Version` with the interop version as its value to the `104 (Upload Resumption Supported)` informational response.',
  ),
  otherVersion: must(
    VERSION,
    'Server implementations of draft versions of the protocol MUST NOT send a `104 (Upload Resumption Supported)` informational response when the interop version indicated by the `Upload-Draft-Interop-Version` header field in the request is missing or mismatching.',
  ),
} as const
