import { clausesOf, ofSomeDrafts } from '../kit/clause.ts'

/**
 * What draft-05 asks of servers. Its interop version is 6, as is that of draft-04, which has no Upload-Length and asks for
 * less.
 */
const { must, should, may, means, choice, advice } = clausesOf('draft-ietf-httpbis-resumable-upload-05')

const CREATION = '4 Upload Creation'
const OFFSET = '5 Offset Retrieval'
const APPEND = '6 Upload Append'
const CANCEL = '7 Upload Cancellation'
const LIMITS = '8.2 Upload-Limit'

export const V6 = {
  // 4 Upload Creation
  location: must(
    CREATION,
    'If the request is valid, the server SHOULD create an upload resource. Then, the server MUST include the `Location` header field in the response and set its value to the URL of the upload resource.',
  ),
  emptyCreation: choice(
    CREATION,
    'The request content MAY be empty. … An `Upload-Complete` header field is set to false is also valid. This can be used to create an upload resource URL before transferring data',
  ),
  emptyFile: may(
    CREATION,
    'The request content MAY be empty. If the `Upload-Complete` header field is then set to true, the client intends to upload an empty resource representation.',
  ),
  creationOffset: must(
    CREATION,
    'The server MUST send the `Upload-Offset` header field in the response if it considers the upload active … The `Upload-Offset` field value MUST be equal to the end offset of the entire upload, or the begin offset of the next chunk if the upload is still incomplete.',
  ),
  creationPart: must(
    CREATION,
    'If the request completes successfully but the entire upload is not yet complete, as indicated by an `Upload-Complete` field value of false in the request, the server MUST acknowledge it by responding with the `201 (Created)` status code and an `Upload-Complete` header value set to false.',
  ),
  creationWhole: must(
    CREATION,
    'If the request completes successfully and the entire upload is complete, the server MUST acknowledge it by responding with a 2xx (Successful) status code. … The response MUST NOT include the `Upload-Complete` header field with the value of false.',
  ),
  creationWholeStatus: should(
    CREATION,
    'Servers are RECOMMENDED to use `201 (Created)` unless otherwise specified.',
  ),
  lengthTwice: ofSomeDrafts(
    choice(
      CREATION,
      "The request can indicate the upload's final size in two different ways. Both indicators may be present in the same request as long as they convey the same size.",
    ),
  ),
  lengthInconsistent: ofSomeDrafts(
    must(
      CREATION,
      'If the sizes are inconsistent, the server MUST reject the request by responding with a `400 (Bad Request)` status code.',
    ),
  ),
  lengthRecorded: ofSomeDrafts(
    must(
      CREATION,
      "If the request includes the `Upload-Length` header field, the server MUST record its value as the upload's final size.",
    ),
  ),
  lengthImplied: must(
    CREATION,
    "In this case, the upload's final size is the `Content-Length` field value and the server MUST record it to ensure its consistency.",
  ),
  fullIsNotComplete: ofSomeDrafts(
    must(
      CREATION,
      "The upload is not automatically completed if the offset reaches the upload's final size. Instead, a client MUST indicate the completion of an upload through the `Upload-Complete` header field.",
    ),
  ),
  maxSizeStays: must(
    CREATION,
    "The limit's value or its existence MUST NOT change throughout the lifetime of the upload resource.",
  ),
  creationKept: should(
    CREATION,
    'If the server does not receive the entire request content, for example because of canceled requests or dropped connections, it SHOULD append as much of the request content starting at its beginning and without discontinuities as possible.',
  ),
  creationNotComplete: must(
    CREATION,
    'If the server did not append the entire request content, the upload MUST NOT be considered complete.',
  ),
  firstLocation: must(
    CREATION,
    'In the first informational response, the `Location` header field MUST be set to the URL pointing to the upload resource.',
  ),
  laterLocation: must(
    CREATION,
    'In subsequent informational responses, the `Location` header field MUST NOT be set.',
  ),
  announcing: should(
    '4.1 Feature Detection',
    'Servers SHOULD use the `104 (Upload Resumption Supported)` informational response to indicate their support for a resumable upload request.',
  ),
  version: must(
    '4.2 Draft Version Identification',
    'Server implementations of draft versions of the protocol MUST also send a header field `Upload-Draft-Interop-Version` with the interop version as its value to the `104 (Upload Resumption Supported)` informational response.',
  ),
  otherVersion: must(
    '4.2 Draft Version Identification',
    'Server implementations of draft versions of the protocol MUST NOT send a `104 (Upload Resumption Supported)` informational response when the interop version indicated by the `Upload-Draft-Interop-Version` header field in the request is missing or mismatching.',
  ),

  // 5 Offset Retrieval
  headOffset: must(
    OFFSET,
    'The response MUST include the `Upload-Offset` header field, with the value set to the current resumption offset for the target resource.',
  ),
  headComplete: must(
    OFFSET,
    'The response MUST include the `Upload-Complete` header field; the value is set to true only if the upload is complete.',
  ),
  headLength: ofSomeDrafts(
    must(
      OFFSET,
      "The response MUST include the `Upload-Length` header field set to the upload's final size if one was recorded during the upload creation",
    ),
  ),
  headNoStore: should(
    OFFSET,
    'In order to prevent HTTP caching, the response SHOULD include a `Cache-Control` header field with the value `no-store`.',
  ),
  headStatus: must(
    OFFSET,
    'If the server considers the upload resource to be active, it MUST respond with a `204 (No Content)` or `200 (OK)` status code.',
  ),
  headUnknown: must(
    OFFSET,
    'If the server does not consider the upload resource to be active, it MUST respond with a `404 (Not Found)` status code.',
  ),
  headWithLength: ofSomeDrafts(
    must(
      OFFSET,
      'The request MUST NOT include an `Upload-Offset`, `Upload-Complete`, or `Upload-Length` header field. The server MUST reject requests with either of these fields by responding with a `400 (Bad Request)` status code.',
    ),
  ),
  headWithFields: must(
    OFFSET,
    'The request MUST NOT include an `Upload-Offset`, `Upload-Complete`, or `Upload-Length` header field. The server MUST reject requests with either of these fields by responding with a `400 (Bad Request)` status code.',
  ),
  offsetAccepted: must(OFFSET, 'The offset MUST be accepted by a subsequent append'),
  olderEnded: may(
    OFFSET,
    'The server MAY terminate any transfers for the same upload resource before sending the response by abruptly terminating the HTTP connection or stream.',
  ),

  // 6 Upload Append
  appendKept: should(
    APPEND,
    'If the server does not receive the entire patch document, for example because of canceled requests or dropped connections, it SHOULD append as much of the patch document starting at its beginning and without discontinuities as possible.',
  ),
  appendNotComplete: must(
    APPEND,
    'If the server did not receive and apply the entire patch document, the upload MUST NOT be considered complete.',
  ),
  appendMismatch: must(
    APPEND,
    'If the offset indicated by the `Upload-Offset` field value does not match … the end offset of the immediate previous incomplete successful transfer, the server MUST respond with a `409 (Conflict)` status code.',
  ),
  appendOffset: must(
    APPEND,
    'The server MUST send the `Upload-Offset` header field in the response if it considers the upload active, either when the response is a success (e.g. `201 (Created)`), or when the response is a failure (e.g. `409 (Conflict)`).',
  ),
  appendStatus: must(
    APPEND,
    'If the request completes successfully but the entire upload is not yet complete indicated by the `Upload-Complete` field value set to false, the server MUST acknowledge it by responding with a `201 (Created)` status code',
  ),
  appendEnd: must(
    APPEND,
    'If the request completes successfully and the entire upload is complete, the server MUST acknowledge it by responding with a 2xx (Successful) status code. … The response MUST NOT include the `Upload-Complete` header field with the value set to false.',
  ),
  appendEndStatus: should(
    APPEND,
    'Servers are RECOMMENDED to use a `201 (Created)` response if not otherwise specified.',
  ),
  appendEndEmpty: choice(
    APPEND,
    'The request content MAY be empty. If the `Upload-Complete` field is then set to true, the client wants to complete the upload without appending additional data.',
  ),
  appendToComplete: must(
    APPEND,
    'If the upload is already complete, the server MUST NOT modify the upload resource and MUST respond with a `400 (Bad Request)` status code.',
  ),
  appendLengthMatches: must(
    APPEND,
    "If the server does have a previous record, that value MUST match the upload's final size. If they do not match, the server MUST reject the request with a `400 (Bad Request)` status code.",
  ),
  appendBeyond: ofSomeDrafts(
    must(APPEND, "The server MUST prevent that the offset exceeds the upload's final size when appending."),
  ),
  appendBeyondStatus: ofSomeDrafts(
    must(
      APPEND,
      'If a final size has been recorded and the upload append request exceeds this value, the server MUST stop appending bytes to the upload once the offset reaches the final size and reject the request with a `400 (Bad Request)` status code.',
    ),
  ),
  appendUnknown: must(
    APPEND,
    'If the server does not consider the upload associated with the upload resource active, it MUST respond with a `404 (Not Found)` status code.',
  ),
  appendOneAtATime: should(
    APPEND,
    'The server is RECOMMENDED to take measures to avoid parallel upload transfers',
  ),
  appendInterim: may(
    APPEND,
    'They MAY include the `Upload-Offset` header field with the current upload offset as the value to inform the client about the upload progress.',
  ),
  appendInterimLocation: must(
    APPEND,
    'These informational responses MUST NOT contain the `Location` header field.',
  ),
  appendMalformed: advice(
    APPEND,
    'Clients have to send Upload-Offset; the text does not say what a server does with an append without one.',
  ),
  appendContentType: advice(
    APPEND,
    'Clients have to use application/partial-upload; the text does not say what a server does with another type.',
  ),

  // 7 Upload Cancellation
  cancelled: must(
    CANCEL,
    'If the server successfully deactivates the upload resource, it MUST respond with a `204 (No Content)` status code.',
  ),
  cancelUnknown: must(
    CANCEL,
    'If the server does not consider the upload resource to be active, it MUST respond with a `404 (Not Found)` status code.',
  ),
  cancelWithFields: must(
    CANCEL,
    'The server MUST reject the request with a `Upload-Offset` or `Upload-Complete` header field with a `400 (Bad Request)` status code.',
  ),
  cancelEnds: may(
    CANCEL,
    'The server MAY terminate any in-flight requests to the upload resource before sending the response by abruptly terminating their HTTP connection(s) or stream(s).',
  ),

  // 8 Header Fields
  options: ofSomeDrafts(
    must(
      LIMITS,
      'A server that supports the creation of a resumable upload resource under a target URI MUST include the `Upload-Limit` header field with the corresponding limits in a response to an `OPTIONS` request sent to this target URI.',
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
    'The limits announced in an `OPTIONS` response SHOULD NOT be less restrictive than the limits applied to an upload once the upload resource has been created.',
  ),
  minAppendSize: ofSomeDrafts(
    must(
      LIMITS,
      'A server MUST NOT reject an upload append request due to smaller size if the request includes the `Upload-Complete: ?1` field.',
    ),
  ),
  lifetime: should(
    LIMITS,
    'The lifetime MAY be extended but SHOULD NOT be reduced once the upload resource is created.',
  ),
  noMinimum: means(
    '9 Media Type application/partial-upload',
    'There is no minimum block size and the block might be empty.',
  ),

  // 10 and after
  problemOffset: may(
    '10.1 Mismatching Offset',
    "A server MAY use this problem type when responding to an upload append request to indicate that the `Upload-Offset` header field in the request does not match the upload resource's offset.",
  ),
  problemMembers: should(
    '10.1 Mismatching Offset',
    'A response using this problem type SHOULD populate both members',
  ),
  problemCompleted: may(
    '10.2 Completed Upload',
    'A server MAY use this problem type when responding to an upload append request to indicate that the upload has already been completed and cannot be modified.',
  ),
  offsetStays: must(
    '11 Offset values',
    'Appended data cannot be removed from an upload and, therefore, the upload offset MUST NOT decrease.',
  ),
  redirects: must(
    '12 Redirection',
    'The `301 (Moved Permanently)` and `302 (Found)` status codes MUST NOT be used in offset retrieval and upload cancellation responses.',
  ),
  contentCoding: means(
    '13 Content Codings',
    'both the client and the server always compute the values for `Upload-Offset` and optionally `Upload-Length` on the content coded data',
  ),
  appendCoding: advice(
    '13 Content Codings',
    'An append goes on with the codings of its creation, and does not name them: one that does would mix two.',
  ),
  transferCoding: means(
    '14 Transfer Codings',
    'a server is responsible for transfer decoding the message before computing the upload offset.',
  ),
  chunked: advice(
    '14 Transfer Codings',
    'Clients that stream send chunks without a Content-Length; HTTP/1.1 lets a server insist on one with 411 (RFC 9112 § 6.3).',
  ),
  reprDigest: should(
    '15.1 Representation Digests',
    "If the digests don't match the server SHOULD consider the transfer failed and not process the uploaded data further.",
  ),
  reprDigestWanted: should(
    '15.1 Representation Digests',
    'The server SHOULD compute the representation digests using the preferred algorithms once the upload is complete and include the corresponding `Repr-Digest` header field in the response.',
  ),
  contentDigest: should(
    '15.2 Content Digests',
    "If the digests don't match the server SHOULD consider the transfer failed and not append the content to the upload resource.",
  ),
  authorized: should(
    '18 Security Considerations',
    'To prevent this, the server SHOULD ensure that only authorized clients can access the upload resource.',
  ),
} as const
