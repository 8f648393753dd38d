import { clausesOf } from '../kit/clause.ts'

/** What tus 1.0 (version of 2016-03-25) asks of servers; sections are the headings of its document. */
const { must, should, may, means, choice, advice } = clausesOf('tus 1.0')
const http = clausesOf('RFC 9110')

const FINAL = 'Concatenation'

/** Clauses of tus 1.0 and of HTTP that rows of tus rest on. */
export const TUS = {
  // Headers
  lengthIsAnInteger: must(
    'Upload-Length',
    'The `Upload-Length` request and response header indicates the size of the entire upload in bytes. The value MUST be a non-negative integer.',
  ),
  lengthIsTheSize: means(
    'Upload-Length',
    'The `Upload-Length` request and response header indicates the size of the entire upload in bytes.',
  ),
  versionInEveryAnswer: must(
    'Tus-Resumable',
    'The `Tus-Resumable` header MUST be included in every request and response except for `OPTIONS` requests.',
  ),
  otherVersion: must(
    'Tus-Resumable',
    'If the version specified by the Client is not supported by the Server, it MUST respond with the `412 Precondition Failed` status … In addition, the Server MUST NOT process the request.',
  ),
  otherVersionTold: must(
    'Tus-Resumable',
    'If the version specified by the Client is not supported by the Server, it … MUST include the `Tus-Version` header into the response.',
  ),
  extensionList: must(
    'Tus-Extension',
    'The `Tus-Extension` response header MUST be a comma-separated list of the extensions supported by the Server. If no extensions are supported, the `Tus-Extension` header MUST be omitted.',
  ),
  maxSize: must(
    'Tus-Max-Size',
    'The `Tus-Max-Size` response header MUST be a non-negative integer indicating the maximum allowed size of an entire upload in bytes.',
  ),
  override: must(
    'X-HTTP-Method-Override',
    "The `X-HTTP-Method-Override` request header MUST be a string which MUST be interpreted as the request's method by the Server, if the header is presented.",
  ),
  actualMethodIgnored: must('X-HTTP-Method-Override', 'The actual method of the request MUST be ignored.'),
  overrideFraming: advice(
    'X-HTTP-Method-Override',
    'A client that sent a POST waits for the body that Content-Length promises (RFC 9112 § 6.3), though it meant a HEAD.',
  ),

  core: must('Core Protocol', 'All Clients and Servers MUST implement the core protocol.'),

  // HEAD
  headOffset: must(
    'HEAD',
    'The Server MUST always include the `Upload-Offset` header in the response for a `HEAD` request, even if the offset is `0`, or the upload is already considered completed.',
  ),
  headLength: must(
    'HEAD',
    'If the size of the upload is known, the Server MUST include the `Upload-Length` header in the response.',
  ),
  headUnknown: should(
    'HEAD',
    'If the resource is not found, the Server SHOULD return either the `404 Not Found`, `410 Gone` or `403 Forbidden` status without the `Upload-Offset` header.',
  ),
  headStatus: should(
    'HEAD',
    'The Server SHOULD acknowledge successful `HEAD` requests with a `200 OK` or `204 No Content` status.',
  ),
  headNoStore: must(
    'HEAD',
    'The Server MUST prevent the client and/or proxies from caching the response by adding the `Cache-Control: no-store` header to the response.',
  ),
  headAfterLoss: advice(
    'HEAD',
    'A client that lost the answer to its last PATCH asks HEAD: what that answer told should not be lost with it.',
  ),

  // PATCH
  patchAccepted: should(
    'PATCH',
    'The Server SHOULD accept `PATCH` requests against any upload URL and apply the bytes contained in the message at the given offset specified by the `Upload-Offset` header.',
  ),
  patchContentType: should(
    'PATCH',
    'All `PATCH` requests MUST use `Content-Type: application/offset+octet-stream`, otherwise the server SHOULD return a `415 Unsupported Media Type` status.',
  ),
  patchConflict: must(
    'PATCH',
    "The `Upload-Offset` header's value MUST be equal to the current offset of the resource. … If the offsets do not match, the Server MUST respond with the `409 Conflict` status without modifying the upload resource.",
  ),
  patchSizes: choice(
    'PATCH',
    'The Client SHOULD send all the remaining bytes of an upload in a single `PATCH` request, but MAY also use multiple small requests successively for scenarios where this is desirable.',
  ),
  patchStatus: must(
    'PATCH',
    'The Server MUST acknowledge successful `PATCH` requests with the `204 No Content` status.',
  ),
  patchOffset: must(
    'PATCH',
    'It MUST include the `Upload-Offset` header containing the new offset. The new offset MUST be the sum of the offset before the `PATCH` request and the number of bytes received and processed or stored during the current `PATCH` request.',
  ),
  patchUnknown: should(
    'PATCH',
    'If the server receives a `PATCH` request against a non-existent resource it SHOULD return a `404 Not Found` status.',
  ),
  patchStores: should(
    'PATCH',
    'The Server SHOULD always attempt to store as much of the received data as possible.',
  ),
  patchChunked: advice(
    'PATCH',
    'Clients that stream send chunks without a Content-Length; HTTP/1.1 lets a server insist on one with 411 (RFC 9112 § 6.3).',
  ),
  patchTakenOver: advice(
    'PATCH',
    'A phone changes its network: a server that still waits for the old connection keeps its client from going on.',
  ),
  patchEarly: advice(
    'PATCH',
    'A client that sends Expect: 100-continue hopes to be refused before it has sent its bytes.',
  ),
  patchHeard: advice(
    'PATCH',
    'Clients that write all before they read do not see an answer to which a reset of the connection comes (RFC 9112 § 9.6).',
  ),
  contentCoding: http.may(
    '8.4 Content-Encoding',
    'An origin server MAY respond with a status code of 415 (Unsupported Media Type) if a representation in the request message has a content coding that is not acceptable.',
  ),
  continue: http.must(
    '10.1.1 Expect',
    'Upon receiving an HTTP/1.1 (or later) request that has a method, target URI, and complete header section that contains a 100-continue expectation and an indication that request content will follow, an origin server MUST send either: an immediate response with a final status code … or an immediate 100 (Continue) response',
  ),

  // OPTIONS
  optionsVersion: must(
    'OPTIONS',
    'A successful response indicated by the `204 No Content` or `200 OK` status MUST contain the `Tus-Version` header.',
  ),
  optionsIgnores: must(
    'OPTIONS',
    'The Client SHOULD NOT include the `Tus-Resumable` header in the request and the Server MUST ignore the header.',
  ),

  // Creation
  created: must(
    'Creation',
    'The Server MUST acknowledge a successful upload creation with the `201 Created` status.',
  ),
  location: must(
    'Creation',
    'The Server MUST set the `Location` header to the URL of the created resource. This URL MAY be absolute or relative.',
  ),
  tooLarge: must(
    'Creation',
    'If the length of the upload exceeds the maximum, which MAY be specified using the `Tus-Max-Size` header, the Server MUST respond with the `413 Request Entity Too Large` status.',
  ),
  emptyFile: may(
    'Creation',
    'The `Upload-Length` header MAY be set to 0, indicating that the Client wants to upload an empty file. Such an upload is immediately complete after its creation without transferring data using `PATCH` requests.',
  ),
  noLength: advice(
    'Creation',
    'Clients have to send Upload-Length or Upload-Defer-Length; the text does not say what a server does without.',
  ),
  malformedLength: advice(
    'Creation',
    'Clients have to send a non-negative integer; a server that guesses what another value means stores a wrong length.',
  ),
  lengthDeferred: must(
    'Creation',
    'As long as the length of the upload is not known, the Server MUST set `Upload-Defer-Length: 1` in all responses to `HEAD` requests.',
  ),
  notDeferred: must(
    'Upload-Defer-Length',
    'If the length of an upload is not deferred, this header MUST be omitted.',
  ),
  deferValue: should(
    'Creation',
    'If the `Upload-Defer-Length` header contains any other value than `1` the server should return a `400 Bad Request` status.',
  ),
  lengthLater: must(
    'Creation',
    'the Client MUST set the `Upload-Length` header in the next `PATCH` request, once the length is known.',
  ),
  lengthFixed: must('Creation', 'Once set the length MUST NOT be changed.'),
  metadataKept: must(
    'Creation',
    'If an upload contains additional metadata, responses to `HEAD` requests MUST include the `Upload-Metadata` header and its value as specified by the Client during the creation.',
  ),
  metadataForm: must(
    'Upload-Metadata',
    'The `Upload-Metadata` request and response header MUST consist of one or more comma-separated key-value pairs. … The key MUST NOT contain spaces and commas and MUST NOT be empty. … the value MUST be Base64 encoded.',
  ),
  metadataSanitized: should(
    'Upload-Metadata',
    'Servers SHOULD carefully validate metadata values or sanitize them before using them as header values to avoid header smuggling.',
  ),
  metadataOrder: advice(
    'Creation',
    'The text asks for the pairs, not for their order; a client that compares the whole header wants them as it sent them.',
  ),
  metadataEmpty: advice(
    'Upload-Metadata',
    'tuspy and go-tus send the header empty when they have no metadata.',
  ),
  metadataLoose: advice(
    'Upload-Metadata',
    'Deployed clients send a blank behind the comma (TUSKit), a comma at the end or two lines; RFC 9110 § 5.3 and § 5.6.1.2 read lists so.',
  ),

  // Creation With Upload
  withUpload: must(
    'Creation With Upload',
    'The Server … MUST include the `Upload-Offset` header in the response and MUST set its value to the offset of the upload after applying the accepted bytes.',
  ),
  withUploadTaken: should('Creation With Upload', 'The Server SHOULD accept as many bytes as possible'),
  withUploadDepends: must(
    'Creation With Upload',
    'Therefore, if the Server does not offer the Creation extension, it MUST NOT offer the Creation With Upload extension either.',
  ),
  withUploadSimilar: advice(
    'Creation With Upload',
    '"Similar rules as for the PATCH request and response apply" to a creation with bytes; the text does not say which.',
  ),

  withUploadChunked: advice(
    'Creation With Upload',
    'Clients that stream send chunks without a Content-Length; HTTP/1.1 lets a server insist on one with 411 (RFC 9112 § 6.3).',
  ),
  withUploadEarly: advice(
    'Creation With Upload',
    'Clients should send Expect: 100-continue "to receive early feedback from the Server on whether it will accept the creation request".',
  ),

  // Expiration
  expiresInPatch: must(
    'Expiration',
    'This header MUST be included in every `PATCH` response if the upload is going to expire.',
  ),
  expiresForm: must(
    'Expiration',
    'The value of the `Upload-Expires` header MUST be in RFC 9110 datetime format.',
  ),
  expiresMeans: means(
    'Expiration',
    'The `Upload-Expires` response header indicates the time after which the unfinished upload expires.',
  ),
  expired: should(
    'Expiration',
    'If a Client does attempt to resume an upload which has since been removed by the Server, the Server SHOULD respond with the`404 Not Found` or `410 Gone` status.',
  ),

  // Checksum
  checksumVerified: must(
    'Checksum',
    'Once the entire request has been received, the Server MUST verify the uploaded chunk against the provided checksum using the specified algorithm.',
  ),
  checksumStatus: may(
    'Checksum',
    'Depending on the result the Server MAY respond with one of the following status code: 1) `400 Bad Request` if the checksum algorithm is not supported by the server, 2) `460 Checksum Mismatch` if the checksums mismatch',
  ),
  checksumDiscards: must(
    'Checksum',
    'In the first two cases the uploaded chunk MUST be discarded, and the upload and its offset MUST NOT be updated.',
  ),
  checksumSha1: must(
    'Checksum',
    'The Server MUST support at least the SHA1 checksum algorithm identified by `sha1`.',
  ),
  checksumList: must(
    'Checksum',
    'The names of the checksum algorithms MUST only consist of ASCII characters with the modification that uppercase characters are excluded. The `Tus-Checksum-Algorithm` header MUST be included in the response to an `OPTIONS` request.',
  ),
  checksumEncoding: advice(
    'Checksum',
    'The text names crc32 in an example and does not say how its value is written: as four bytes, the highest first, here.',
  ),
  checksumMalformed: advice(
    'Checksum',
    'A client that sends half a checksum meant one: bytes that could not be verified are better not kept.',
  ),
  checksumCreation: advice(
    'Checksum',
    'The text speaks of PATCH; a creation with bytes may carry a checksum as well.',
  ),
  checksumTrailer: must(
    'Checksum',
    'If the hash cannot be calculated at the beginning of the upload, it MAY be included as a trailer. If the Server can handle trailers, this behavior MUST be announced by adding `checksum-trailer` to the `Tus-Extension` header.',
  ),

  // Termination
  terminated: must(
    'Termination',
    'When receiving a `DELETE` request for an existing upload the Server … MUST respond with the `204 No Content` status confirming that the upload was terminated.',
  ),
  afterTermination: should(
    'Termination',
    'For all future requests to this URL, the Server SHOULD respond with the `404 Not Found` or `410 Gone` status.',
  ),

  // Concatenation
  partial: must('Upload-Concat', 'If the upload is a partial one, the header value MUST be `partial`.'),
  partialOffset: must(
    FINAL,
    'The response to a HEAD request for a partial upload MUST contain the `Upload-Offset` header.',
  ),
  concatBack: must(
    FINAL,
    'Response to `HEAD` request against partial or final upload MUST include the `Upload-Concat` header and its value as received in the upload creation request.',
  ),
  concatMalformed: advice(
    FINAL,
    'Clients have to send "partial" or "final;…"; the text does not say what a server does with anything else.',
  ),
  finalValue: must(
    'Upload-Concat',
    'In the case of a final upload, its value MUST be `final` followed by a semicolon and a space-separated list of partial upload URLs that will be concatenated.',
  ),
  finalLength: must(
    FINAL,
    'The length of the final upload MUST be the sum of the length of all partial uploads.',
  ),
  finalOrder: must(FINAL, 'The partial uploads MUST be concatenated as per the order specified in the list.'),
  finalMetadata: must(
    FINAL,
    "When creating a new final upload the partial uploads' metadata SHALL NOT be transferred to the new final upload.",
  ),
  finalUrls: choice('Upload-Concat', 'The partial uploads URLs MAY be absolute or relative'),
  finalTwice: may(
    FINAL,
    'The same partial upload MAY be present multiple times in the `Upload-Concat` header in one upload creation request or MAY be used in multiple upload creation requests.',
  ),
  finalUnknown: advice(FINAL, 'The text does not say what a server does with the URL of no upload.'),
  finalPatch: must(
    FINAL,
    'The Server MUST respond with the `403 Forbidden` status to `PATCH` requests against a final upload URL and MUST NOT modify the final or its partial uploads.',
  ),
  finalBefore: should(
    FINAL,
    'The response to a HEAD request for a final upload SHOULD NOT contain the `Upload-Offset` header unless the concatenation has been successfully finished.',
  ),
  finalAfter: must(
    FINAL,
    'After successful concatenation, the `Upload-Offset` and `Upload-Length` MUST be set and their values MUST be equal.',
  ),
  finalLengthEarly: must(
    FINAL,
    'The `Upload-Length` header MUST be included if the length of the final resource can be calculated at the time of the request.',
  ),
  unfinished: must(
    FINAL,
    'The Client MAY send the concatenation request while the partial uploads are still in progress. This feature MUST be explicitly announced by the Server by adding `concatenation-unfinished` to the `Tus-Extension` header.',
  ),
} as const

/** What a server that has an extension announces, by the name of the extension. */
export const ANNOUNCED = {
  creation: must(
    'Creation',
    'If the Server supports this extension, it MUST add `creation` to the `Tus-Extension` header.',
  ),
  'creation-defer-length': must(
    'Creation',
    'If the Server supports deferring length, it MUST add `creation-defer-length` to the `Tus-Extension` header.',
  ),
  'creation-with-upload': must(
    'Creation With Upload',
    'If the Server supports this extension, it MUST advertise this by including `creation-with-upload` in the `Tus-Extension` header.',
  ),
  expiration: must(
    'Expiration',
    'The Server MAY remove unfinished uploads once they expire. In order to indicate this behavior to the Client, the Server MUST add `expiration` to the `Tus-Extension` header.',
  ),
  checksum: must('Checksum', 'If supported, the Server MUST add `checksum` to the `Tus-Extension` header.'),
  termination: must(
    'Termination',
    'If this extension is supported by the Server, it MUST be announced by adding `termination` to the `Tus-Extension` header.',
  ),
  concatenation: must(
    FINAL,
    'If the Server supports this extension, it MUST add `concatenation` to the `Tus-Extension` header.',
  ),
  'concatenation-unfinished': must(
    FINAL,
    'This feature MUST be explicitly announced by the Server by adding `concatenation-unfinished` to the `Tus-Extension` header.',
  ),
} as const
