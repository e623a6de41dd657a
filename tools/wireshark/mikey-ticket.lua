-- MIKEY-TICKET (RFC 6043) and MIKEY (RFC 3830) for Wireshark and tshark, 4.0 and later.
--
-- Takes the place of Wireshark's own MIKEY dissector, which knows no tickets, in HTTP and SIP
-- bodies of type application/mikey and in SDP's a=key-mgmt:mikey; MIKEY-SAKKE stays with that one.
-- Nothing is decrypted. What the octets do not allow is an expert info, and what could not be read
-- is in mikey_ticket.undissected.

local mikey = Proto("mikey_ticket", "MIKEY-TICKET")

local FIELDS_MAX = 100000 -- in one message; Wireshark gives up a packet with a million
local SAKKE_DATA_TYPE = 26 -- RFC 6509

-- Names ---------------------------------------------------------------------------------------

local data_type = {
    [0] = "PSK_INIT", "PSK_RESP", "PK_INIT", "PK_RESP", "DH_INIT", "DH_RESP", "Error",
    [7] = "DHHMAC_INIT", [8] = "DHHMAC_RESP", [9] = "RSA-R I_MSG", [10] = "RSA-R R_MSG",
    [11] = "REQUEST_INIT_PSK", [12] = "REQUEST_INIT_PK", [13] = "REQUEST_RESP",
    [14] = "TRANSFER_INIT", [15] = "TRANSFER_RESP", [16] = "RESOLVE_INIT_PSK",
    [17] = "RESOLVE_INIT_PK", [18] = "RESOLVE_RESP",
}
local next_payload = {
    [0] = "Last payload", "KEMAC", "PKE", "DH", "SIGN", "T", "ID", "CERT", "CHASH", "V", "SP",
    "RAND", "ERR", "TR", "IDR", "RANDR", "TP", "TICKET", [20] = "Key data", [21] = "General Extension",
}
local error_no = {
    [0] = "Auth failure", "Invalid TS", "Invalid PRF", "Invalid MAC", "Invalid EA", "Invalid HA",
    "Invalid DH", "Invalid ID", "Invalid Cert", "Invalid SP", "Invalid SPpar", "Invalid DT",
    "Unspecified error", [14] = "Invalid TICKET", [15] = "Invalid TPpar",
}
local prf = {[0] = "MIKEY-1", "PRF-HMAC-SHA-256"}
local map_type = {[0] = "SRTP-ID", "Empty map", "GENERIC-ID"}
local encr_alg = {[0] = "NULL", "AES-CM-128", "AES-KW-128", "AES-CM-256"}
local mac_alg = {[0] = "NULL", "HMAC-SHA-1-160", "HMAC-SHA-256-256"}
local cache = {[0] = "No cache", "Cache", "Cache for CSB"}
local dh_group = {[0] = "OAKLEY 5", "OAKLEY 1", "OAKLEY 2"}
local signature = {[0] = "RSA/PKCS#1/1.5", "RSA/PSS"}
local ts_type = {[0] = "NTP-UTC", "NTP", "COUNTER", "NTP-UTC-32"}
local ts_role = {"Time of issue (TRi)", "Start of validity period (TRs)",
                 "End of validity period (TRe)", "Rekeying interval (TRr)"}
local id_type = {[0] = "NAI", "URI", "Byte string"}
local id_role = {"Initiator (IDRi)", "Responder (IDRr)", "KMS (IDRkms)", "Pre-Shared Key (IDRpsk)",
                 "Application (IDRapp)"}
local rand_role = {"Initiator (RANDRi)", "Responder (RANDRr)", "KMS (RANDRkms)"}
local cert_type = {[0] = "X.509v3", "X.509v3 URL", "X.509v3 Sign", "X.509v3 Encr"}
local hash_func = {[0] = "SHA-1", "MD5", "SHA-256"}
local prot = {[0] = "SRTP", [241] = "TLS (private use)", [242] = "CMS (private use)"}
local key_type = {[0] = "TGK", "TGK+SALT", "TEK", "TEK+SALT", "GTGK", "GTGK+SALT", "MPK"}
local kv_type = {[0] = "Null", "SPI/MKI", "Interval"}
local extension = {[0] = "Vendor ID", "SDP IDs", [3] = "Key ID Information"}
local key_id_type = {[0] = "MBMS Key Domain ID", "MBMS Service Key ID", "MBMS Traffic Key ID"}
local ticket_type = {"MIKEY Base Ticket", "3GPP Base Ticket"}
local off_on = {[0] = "off", "on"}

-- Octets that follow from an algorithm: RFC 3830 4.2 and 6, RFC 6043 6.2 and 6.7.
local mac_len = {[0] = 0, 20, 32}
local dh_len = {[0] = 192, 96, 128}
local hash_len = {[0] = 20, 16, 32}
local ts_len = {[0] = 8, 8, 4, 4}
local salted = {[1] = true, [3] = true, [5] = true}

-- RFC 6043 6.10: letter, bit of its octet, set, clear.
local flags = {
    {"D", 0x01, "the KMS generates the ticket", "the Initiator generates the ticket"},
    {"E", 0x80, "Ticket Resolve is mandatory", "the Responder may resolve the ticket"},
    {"F", 0x40, "TRANSFER_RESP shall be sent", "TRANSFER_RESP shall not be sent"},
    {"G", 0x20, "the Responder shall generate RANDRr", "the Responder shall not generate RANDRr"},
    {"H", 0x10, "RANDRi is used when deriving from a TGK or GTGK",
     "RANDRi is not used when deriving from a TGK or GTGK"},
    {"I", 0x08, "key forking", "no key forking"},
    {"J", 0x04, "the ticket may be reused", "the ticket shall not be reused"},
    {"K", 0x02, "the KMS changed what was desired", "the KMS changed nothing"},
    {"L", 0x01, "the Initiator may supply session keys",
     "the Initiator shall not supply session keys"},
    {"M", 0x80, "the Responder may supply session keys",
     "the Responder shall not supply session keys"},
    {"N", 0x40, "an Initiator of RFC 6043 can use it", "the Initiator needs further processing"},
    {"O", 0x20, "a Responder of RFC 6043 can process it", "the Responder needs further processing"},
}

-- Parameters of an SRTP policy, RFC 3830 6.10.1 and RFC 7714 14.2: filter, name, values.
local srtp_param = {
    [0] = {"encr_alg", "Encryption algorithm",
           {[0] = "NULL", "AES-CM", "AES-F8", [6] = "AES-GCM"}},
    {"encr_key_len", "Session Encr. key length"},
    {"auth_alg", "Authentication algorithm", {[0] = "NULL", "HMAC-SHA-1"}},
    {"auth_key_len", "Session Auth. key length"},
    {"salt_key_len", "Session Salt key length"},
    {"prf", "SRTP PRF", {[0] = "AES-CM"}},
    {"key_derivation_rate", "Key derivation rate"},
    {"srtp_encr", "SRTP encryption", off_on},
    {"srtcp_encr", "SRTCP encryption", off_on},
    {"fec_order", "Sender's FEC order", {[0] = "first FEC, then SRTP"}},
    {"srtp_auth", "SRTP authentication", off_on},
    {"auth_tag_len", "Authentication tag length"},
    {"prefix_len", "SRTP prefix length"},
    [20] = {"aead_tag_len", "AEAD auth. tag length"},
}

-- Fields --------------------------------------------------------------------------------------

local F = {} -- by filter name without "mikey_ticket."

local function group(key, name)
    F[key] = ProtoField.none("mikey_ticket." .. key, name)
end

local function u8(key, name, values, mask)
    F[key] = ProtoField.uint8("mikey_ticket." .. key, name, base.DEC, values, mask)
end

local function u16(key, name, values, mask)
    F[key] = ProtoField.uint16("mikey_ticket." .. key, name, base.DEC, values, mask)
end

local function u32(key, name, values, shown)
    F[key] = ProtoField.uint32("mikey_ticket." .. key, name, shown or base.DEC, values)
end

local function octets(key, name)
    F[key] = ProtoField.bytes("mikey_ticket." .. key, name)
end

local function text(key, name)
    F[key] = ProtoField.string("mikey_ticket." .. key, name, base.UNICODE)
end

local function bit(key, name, mask, set, clear)
    F[key] = ProtoField.bool("mikey_ticket." .. key, name, 8, {set, clear}, mask)
end

octets("undissected", "Not dissected")
u8("next_payload", "next payload", next_payload)
u8("first_payload", "first payload", next_payload)

group("hdr", "HDR")
u8("hdr.version", "version")
u8("hdr.data_type", "data type", data_type)
bit("hdr.v", "V", 0x80, "response expected", "no response expected")
u8("hdr.prf_func", "PRF func", prf, 0x7F)
u32("hdr.csb_id", "CSB ID", nil, base.HEX)
u8("hdr.cs_count", "#CS")
u8("hdr.map_type", "CS ID map type", map_type)

group("cs", "crypto session")
u8("cs.id", "CS ID")
u8("cs.prot_type", "Prot type", prot)
bit("cs.s", "S", 0x80, "ROC and SEQ are given", "no ROC and SEQ")
u8("cs.policy_count", "#P", nil, 0x7F)
u8("cs.policy_no", "Policy_no")
u16("cs.session_data_len", "Session Data Length")
octets("cs.session_data", "Session Data")
u32("cs.ssrc", "SSRC", nil, base.HEX)
u32("cs.roc", "ROC")
u16("cs.seq", "SEQ")
u8("cs.spi_len", "SPI Length")
octets("cs.spi", "SPI")

u8("kemac.encr_alg", "Encr alg", encr_alg)
u16("kemac.encr_data_len", "Encr data len")
octets("kemac.encr_data", "Encr data")
u8("kemac.mac_alg", "Mac alg", mac_alg)
octets("kemac.mac", "MAC")

group("key", "Key data")
u8("key.type", "Type", key_type, 0xF0)
u8("key.kv", "KV", kv_type, 0x0F)
u16("key.len", "Key data len")
octets("key.data", "Key data")
u16("key.salt_len", "Salt len")
octets("key.salt", "Salt data")

u8("kv.spi_len", "SPI Length")
octets("kv.spi", "SPI")
u8("kv.from_len", "VF Length")
octets("kv.from", "Valid From")
u8("kv.to_len", "VT Length")
octets("kv.to", "Valid To")

u16("pke.cache", "C", cache, 0xC000)
u16("pke.len", "Data len", nil, 0x3FFF)
octets("pke.data", "Data")

u8("dh.group", "DH-Group", dh_group)
octets("dh.value", "DH-value")
u8("dh.reserved", "Reserv", nil, 0xF0)
u8("dh.kv", "KV", kv_type, 0x0F)

u16("sign.type", "S type", signature, 0xF000)
u16("sign.len", "Signature len", nil, 0x0FFF)
octets("sign.signature", "Signature")

u8("ts.type", "TS Type", ts_type)
u8("ts.role", "TS Role", ts_role)
F["ts.time"] = ProtoField.absolute_time("mikey_ticket.ts.time", "TS Value", base.UTC)
F["ts.interval"] = ProtoField.relative_time("mikey_ticket.ts.interval", "TS Value")
u32("ts.counter", "TS Value")

u8("id.role", "ID Role", id_role)
u8("id.type", "ID Type", id_type)
u16("id.len", "ID len")
text("id.data", "ID Data")
octets("id.octets", "ID Data")

u8("cert.type", "Cert Type", cert_type)
u16("cert.len", "Cert len")
octets("cert.data", "Certificate Data")
text("cert.url", "Certificate Data")

u8("chash.func", "Hash func", hash_func)
octets("chash.hash", "Hash")

u8("v.auth_alg", "Auth alg", mac_alg)
octets("v.ver_data", "Ver data")

u8("sp.policy_no", "Policy no")
u8("sp.prot_type", "Prot type", prot)
u16("sp.params_len", "Policy param length")
octets("sp.params", "Policy param")
group("sp.param", "Parameter")
u8("sp.param.type", "Type")
u8("sp.param.len", "Length")
octets("sp.param.value", "Value")
for _, param in pairs(srtp_param) do
    u32("sp.srtp." .. param[1], "Value", param[3])
end

u8("rand.role", "RAND Role", rand_role)
u8("rand.len", "RAND len")
octets("rand.data", "RAND")

u8("err.no", "Error no", error_no)
u16("err.reserved", "Reserved")

u16("ticket.type", "Ticket Type", ticket_type)
u8("ticket.subtype", "Subtype")
u8("ticket.version", "Version")
u8("ticket.prf_func", "PRF Func", prf, 0xFE)
for _, flag in ipairs(flags) do
    bit("ticket.flag." .. flag[1]:lower(), flag[1], flag[2], flag[3], flag[4])
end
u8("ticket.reserved", "Res", nil, 0x1F)
u16("ticket.tp_data_len", "TP Data length")
octets("ticket.tp_data", "TP Data")
u16("ticket.data_len", "Ticket Data length")
octets("ticket.data", "Ticket Data")
u16("ticket.initiator_data_len", "Initiator Data length")
octets("ticket.initiator_data", "Initiator Data")

u16("thdr.len", "THDR Data length")
octets("thdr.data", "THDR Data")

u8("ext.type", "Type", extension)
u16("ext.len", "Length")
octets("ext.data", "Data")
text("ext.sdp_ids", "Data")
group("ext.key_id", "Key ID")
u8("ext.key_id.type", "Key ID Type", key_id_type)
u8("ext.key_id.len", "Key ID Length")
octets("ext.key_id.id", "Key ID")

local malformed = ProtoExpert.new("mikey_ticket.malformed", "Malformed MIKEY message",
                                  expert.group.MALFORMED, expert.severity.ERROR)
local cut = ProtoExpert.new("mikey_ticket.cut", "The capture does not hold the whole message",
                            expert.group.UNDECODED, expert.severity.NOTE)
local bad_flags = ProtoExpert.new("mikey_ticket.flags", "Flags that contradict each other",
                                  expert.group.PROTOCOL, expert.severity.WARN)
local is_error = ProtoExpert.new("mikey_ticket.error", "MIKEY error", expert.group.RESPONSE_CODE,
                                 expert.severity.NOTE)
mikey.experts = {malformed, cut, bad_flags, is_error}

-- Reading -------------------------------------------------------------------------------------

-- Octets from `pos` up to `stop` of a Tvb. What does not fit ends in an error that is a Problem,
-- which `region` catches.
local Reader = {}
Reader.__index = Reader
local Problem = {}

function Reader:fail(...)
    error(setmetatable({text = string.format(...)}, Problem))
end

function Reader:left()
    return self.stop - self.pos
end

function Reader:range(len)
    if len > self:left() then
        self:fail("%d octets are needed at offset %d, where %d are left", len, self.pos, self:left())
    end
    self.message.fields = self.message.fields + 1
    if self.message.fields > FIELDS_MAX then
        self:fail("more than %d fields", FIELDS_MAX)
    end
    local range = self.message.tvb(self.pos, len)
    self.pos = self.pos + len
    return range
end

function Reader:number(tree, key, len)
    local range = self:range(len)
    tree:add(F[key], range)
    return range:uint()
end

-- Several fields that share octets.
function Reader:bits(tree, len, ...)
    local range = self:range(len)
    for _, key in ipairs({...}) do
        tree:add(F[key], range)
    end
    return range:uint()
end

-- Returns the item; nil where there are no octets. `value` makes what is shown of them.
function Reader:octets(tree, key, len, value)
    if len == 0 then
        return nil
    end
    local range = self:range(len)
    if value then
        return tree:add(F[key], range, value(range))
    end
    return tree:add(F[key], range)
end

-- A length of `len_octets`, and that many octets.
function Reader:counted(tree, len_key, len_octets, key)
    local len = self:number(tree, len_key, len_octets)
    return self:octets(tree, key, len)
end

-- `read` shows the next `len` octets in `tree`. What it leaves is shown as not dissected.
function Reader:region(tree, len, read)
    self:range(len)
    local inside = setmetatable({message = self.message, pos = self.pos - len, stop = self.pos},
                                Reader)
    local done, problem = pcall(read, inside, tree)
    if not done and getmetatable(problem) ~= Problem then
        error(problem, 0)
    end
    if done then
        problem = inside:left() > 0 and
                      {text = string.format("%d octets follow at offset %d", inside:left(),
                                            inside.pos)}
    end
    if problem then
        self.message.broken = true
        tree:add_proto_expert_info(self.message.cut and cut or malformed, problem.text)
    end
    if inside:left() > 0 then
        tree:add(F.undissected, self.message.tvb(inside.pos, inside:left()))
    end
end

-- A length of two octets, and octets that `read` shows where there is a `read`.
function Reader:part(tree, len_key, key, read)
    local len = self:number(tree, len_key, 2)
    local item = self:octets(tree, key, len)
    if item and read then
        self.pos = self.pos - len
        self:region(item, len, read)
    end
end

-- A group whose length is known when `read` is done; `read` returns its text and a result.
function Reader:group(tree, key, name, read)
    local start = self.pos
    if self:left() == 0 then
        self:fail("%s begins where the octets end, at offset %d", name, start)
    end
    local item = tree:add(F[key], self.message.tvb(start, self:left()))
    item:set_text(name)
    local words, result = read(self, item)
    item:set_len(self.pos - start)
    item:set_text(words and words ~= "" and name .. ": " .. words or name)
    return result
end

-- Payloads ------------------------------------------------------------------------------------

local function named(values, value)
    return values and values[value] or string.format("unknown (%d)", value)
end

local function known(r, lengths, value, what)
    return lengths[value] or
               r:fail("%s %d at offset %d is unknown, so its length is too", what, value, r.pos - 1)
end

local function read_kv(r, t, kv)
    if kv == 1 then
        r:counted(t, "kv.spi_len", 1, "kv.spi")
    elseif kv == 2 then
        r:counted(t, "kv.from_len", 1, "kv.from")
        r:counted(t, "kv.to_len", 1, "kv.to")
    elseif kv ~= 0 then
        r:fail("key validity type %d at offset %d is unknown, so its length is too", kv, r.pos)
    end
end

-- Key data, RFC 3830 6.13.
local function read_key(r, t)
    local next = r:number(t, "next_payload", 1)
    local type_kv = r:bits(t, 1, "key.type", "key.kv")
    local kind, kv = bit32.rshift(type_kv, 4), bit32.band(type_kv, 15)
    if not key_type[kind] then
        r:fail("key type %d at offset %d is unknown", kind, r.pos - 1)
    end
    r:counted(t, "key.len", 2, "key.data")
    if salted[kind] then
        r:counted(t, "key.salt_len", 2, "key.salt")
    end
    read_kv(r, t, kv)
    return key_type[kind], next
end

local function read_keys(r, t)
    local next
    repeat
        next = r:group(t, "key", "Key data", read_key)
    until next ~= 20
    if next ~= 0 then
        r:fail("payload type %d follows a key, at offset %d", next, r.pos)
    end
end

local function read_kemac(r, t)
    local encr = r:number(t, "kemac.encr_alg", 1)
    r:part(t, "kemac.encr_data_len", "kemac.encr_data", encr == 0 and read_keys)
    local mac = r:number(t, "kemac.mac_alg", 1)
    r:octets(t, "kemac.mac", known(r, mac_len, mac, "Mac alg"))
    return named(encr_alg, encr)
end

local function read_pke(r, t)
    r:octets(t, "pke.data", bit32.band(r:bits(t, 2, "pke.cache", "pke.len"), 0x3FFF))
end

local function read_dh(r, t)
    local number = r:number(t, "dh.group", 1)
    r:octets(t, "dh.value", known(r, dh_len, number, "DH-Group"))
    read_kv(r, t, bit32.band(r:bits(t, 1, "dh.reserved", "dh.kv"), 15))
    return named(dh_group, number)
end

local function read_sign(r, t)
    r:octets(t, "sign.signature", bit32.band(r:bits(t, 2, "sign.type", "sign.len"), 0x0FFF))
end

local function nanoseconds(range)
    return range:len() == 8 and math.floor(range(4, 4):uint() * 1e9 / 2 ^ 32) or 0
end

-- NTP, with the years 1968 to 2104 as RFC 4330 3 says.
local function ntp_time(range)
    local seconds = range(0, 4):uint()
    local era = seconds < 2 ^ 31 and 2 ^ 32 or 0
    return NSTime.new(seconds + era - 2208988800, nanoseconds(range))
end

local function interval(range)
    return NSTime.new(range(0, 4):uint(), nanoseconds(range))
end

local function read_timestamp(r, t, role)
    local kind = r:number(t, "ts.type", 1)
    local len = known(r, ts_len, kind, "TS Type")
    if kind == 2 then
        return tostring(r:number(t, "ts.counter", len))
    elseif role == 4 then
        r:octets(t, "ts.interval", len, interval)
    else
        r:octets(t, "ts.time", len, ntp_time)
    end
    return named(ts_type, kind)
end

local function read_tr(r, t)
    local role = r:number(t, "ts.role", 1)
    return read_timestamp(r, t, role)
end

local function is_text(range)
    return not range:raw():find("[^\32-\126]")
end

local function read_id(r, t)
    local kind = r:number(t, "id.type", 1)
    local len = r:number(t, "id.len", 2)
    if len == 0 then
        return named(id_type, kind)
    end
    local range = r:range(len)
    if kind == 2 and not is_text(range) then
        t:add(F["id.octets"], range)
        return tostring(range:bytes())
    end
    t:add(F["id.data"], range)
    return is_text(range) and range:string() or named(id_type, kind)
end

local function read_idr(r, t)
    r:number(t, "id.role", 1)
    return read_id(r, t)
end

local function read_cert(r, t)
    local kind = r:number(t, "cert.type", 1)
    r:counted(t, "cert.len", 2, kind == 1 and "cert.url" or "cert.data")
    return named(cert_type, kind)
end

local function read_chash(r, t)
    local func = r:number(t, "chash.func", 1)
    r:octets(t, "chash.hash", known(r, hash_len, func, "Hash func"))
    return named(hash_func, func)
end

local function read_v(r, t)
    local alg = r:number(t, "v.auth_alg", 1)
    r:octets(t, "v.ver_data", known(r, mac_len, alg, "Auth alg"))
    return named(mac_alg, alg)
end

-- Type, length and value of a policy parameter; `params` are those of the protocol, or false.
-- There is an octet left.
local function read_param(r, tree, params)
    local kind = r.message.tvb(r.pos, 1):uint()
    local param = params and params[kind]
    r:group(tree, "sp.param", string.format("%s (%d)", param and param[2] or "unknown", kind),
            function(_, t)
        r:number(t, "sp.param.type", 1)
        local len = r:number(t, "sp.param.len", 1)
        if not param or len == 0 or len > 4 then
            r:octets(t, "sp.param.value", len)
            return
        end
        local value = r:number(t, "sp.srtp." .. param[1], len)
        return param[3] and named(param[3], value) or tostring(value)
    end)
end

local function read_sp(r, t)
    r:number(t, "sp.policy_no", 1)
    local protocol = r:number(t, "sp.prot_type", 1)
    r:part(t, "sp.params_len", "sp.params", function(params, tree)
        while params:left() > 0 do
            read_param(params, tree, protocol == 0 and srtp_param)
        end
    end)
    return named(prot, protocol)
end

local function read_rand(r, t)
    r:counted(t, "rand.len", 1, "rand.data")
end

local function read_randr(r, t)
    r:number(t, "rand.role", 1)
    read_rand(r, t)
end

local function read_err(r, t)
    local no = r:number(t, "err.no", 1)
    r:number(t, "err.reserved", 2)
    t:add_proto_expert_info(is_error, named(error_no, no))
    r.message.error = named(error_no, no)
    return named(error_no, no)
end

local function read_thdr(r, t)
    r:counted(t, "thdr.len", 2, "thdr.data")
end

local function read_key_id(r, t)
    local kind = r:number(t, "ext.key_id.type", 1)
    r:counted(t, "ext.key_id.len", 1, "ext.key_id.id")
    return named(key_id_type, kind)
end

local function read_key_ids(r, t)
    while r:left() > 0 do
        r:group(t, "ext.key_id", "Key ID", read_key_id)
    end
end

local function read_ext(r, t)
    local kind = r:number(t, "ext.type", 1)
    r:part(t, "ext.len", kind == 1 and "ext.sdp_ids" or "ext.data", kind == 3 and read_key_ids)
    return named(extension, kind)
end

local read_chain, read_ticket_data -- below: chains hold payloads, and some payloads hold chains

local function read_first_and_chain(r, t)
    read_chain(r, t, r:number(t, "first_payload", 1))
end

-- The rules of RFC 6043 6.10.
local function check_flags(t, set)
    local rules = {{set.D or set.L, "NOT D implies L"}, {not set.G or set.F, "G implies F"},
                   {set.G or set.H, "NOT G implies H"}, {not set.I or set.E, "I implies E"},
                   {not set.K or set.D, "K implies D"}, {not set.M or set.F, "M implies F"}}
    for _, rule in ipairs(rules) do
        if not rule[1] then
            t:add_proto_expert_info(bad_flags, rule[2])
        end
    end
end

-- PRF Func has seven bits: D is the lowest of its octet, E the highest of the next.
local function read_flags(r, t)
    local f = "ticket.flag."
    local all = {r:bits(t, 1, "ticket.prf_func", f .. "d"),
                 r:bits(t, 1, f .. "e", f .. "f", f .. "g", f .. "h", f .. "i", f .. "j", f .. "k",
                        f .. "l"), r:bits(t, 1, f .. "m", f .. "n", f .. "o", "ticket.reserved")}
    local set, letters = {}, ""
    for i, flag in ipairs(flags) do
        if bit32.btest(all[i == 1 and 1 or i <= 9 and 2 or 3], flag[2]) then
            set[flag[1]] = true
            letters = letters .. flag[1]
        end
    end
    check_flags(t, set)
    return letters
end

-- A ticket inside a ticket stays closed, or the depth would have no end.
local function read_policy(r, t, expand)
    local kind = r:number(t, "ticket.type", 2)
    r:number(t, "ticket.subtype", 1)
    r:number(t, "ticket.version", 1)
    local letters = read_flags(r, t)
    r:part(t, "ticket.tp_data_len", "ticket.tp_data", expand and read_first_and_chain)
    return named(ticket_type, kind) .. ", " .. letters, kind
end

local function read_tp(r, t, expand)
    return (read_policy(r, t, expand))
end

local function read_ticket(r, t, expand)
    local words, kind = read_policy(r, t, expand)
    r:part(t, "ticket.data_len", "ticket.data", expand and kind == 1 and read_ticket_data)
    r:part(t, "ticket.initiator_data_len", "ticket.initiator_data", expand and read_first_and_chain)
    return words
end

-- By number: filter, name, what reads it, and names by role where the payload begins with one.
local payloads = {
    {"kemac", "KEMAC", read_kemac}, {"pke", "PKE", read_pke}, {"dh", "DH", read_dh},
    {"sign", "SIGN", read_sign}, {"t", "T", read_timestamp}, {"id", "ID", read_id},
    {"cert", "CERT", read_cert}, {"chash", "CHASH", read_chash}, {"v", "V", read_v},
    {"sp", "SP", read_sp}, {"rand", "RAND", read_rand}, {"err", "ERR", read_err},
    {"tr", "TR", read_tr, {"TRi", "TRs", "TRe", "TRr"}},
    {"idr", "IDR", read_idr, {"IDRi", "IDRr", "IDRkms", "IDRpsk", "IDRapp"}},
    {"randr", "RANDR", read_randr, {"RANDRi", "RANDRr", "RANDRkms"}}, {"tp", "TP", read_tp},
    {"ticket", "TICKET", read_ticket}, [21] = {"ext", "General Extension", read_ext},
    [256] = {"thdr", "THDR", read_thdr}, -- no number on the wire: Ticket Data begins with it
}
for _, payload in pairs(payloads) do
    group(payload[1], payload[2])
end
mikey.fields = F

local function payload_name(r, payload)
    local role = payload[4] and r:left() > 1 and r.message.tvb(r.pos + 1, 1):uint()
    return role and payload[4][role] or payload[2]
end

local function read_payload(r, tree, kind, expand)
    local payload = payloads[kind] or
                        r:fail("payload type %d at offset %d is unknown here, so its length is too",
                               kind, r.pos)
    return r:group(tree, payload[1], payload_name(r, payload), function(_, t)
        -- SIGN is always last and names no next payload, RFC 3830 6.5.
        local next = kind == 4 and 0 or r:number(t, "next_payload", 1)
        if kind == 5 then
            return read_timestamp(r, t), next
        end
        return payload[3](r, t, expand), next
    end)
end

function read_chain(r, tree, kind, expand)
    while kind ~= 0 do
        kind = read_payload(r, tree, kind, expand)
    end
end

function read_ticket_data(r, t)
    read_chain(r, t, 256)
end

-- Messages ------------------------------------------------------------------------------------

-- RFC 3830 6.1.1.
local function read_srtp_id(r, t)
    r:number(t, "cs.policy_no", 1)
    r:number(t, "cs.ssrc", 4)
    r:number(t, "cs.roc", 4)
end

local function read_srtp_session(r, t)
    r:number(t, "cs.ssrc", 4)
    if r:left() > 0 then
        r:number(t, "cs.roc", 4)
        r:number(t, "cs.seq", 2)
    end
end

-- RFC 6043 6.1.1.
local function read_generic_id(r, t)
    local id = r:number(t, "cs.id", 1)
    local protocol = r:number(t, "cs.prot_type", 1)
    local s_count = r:bits(t, 1, "cs.s", "cs.policy_count")
    for _ = 1, bit32.band(s_count, 0x7F) do
        r:number(t, "cs.policy_no", 1)
    end
    r:part(t, "cs.session_data_len", "cs.session_data", protocol == 0 and function(data, tree)
        local fits = s_count >= 0x80 and 10 or 4
        if data:left() ~= fits then
            data:fail("SRTP Session Data has %d octets instead of %d", data:left(), fits)
        end
        read_srtp_session(data, tree)
    end)
    r:counted(t, "cs.spi_len", 1, "cs.spi")
    return "CS ID " .. id
end

local function read_map(r, t, kind, count)
    local read = kind == 0 and read_srtp_id or kind == 2 and read_generic_id
    if not map_type[kind] then
        r:fail("CS ID map type %d is unknown, so its length is too", kind)
    elseif not read and count > 0 then
        r:fail("%d crypto sessions are counted in an Empty map", count)
    end
    for i = 1, read and count or 0 do
        r:group(t, "cs", "crypto session " .. i, read)
    end
end

local function read_hdr(r, t)
    local version = r:number(t, "hdr.version", 1)
    if version ~= 1 then
        r:fail("MIKEY version %d is not 1", version)
    end
    local kind = r:number(t, "hdr.data_type", 1)
    r.message.name = named(data_type, kind)
    local next = r:number(t, "next_payload", 1)
    r:bits(t, 1, "hdr.v", "hdr.prf_func")
    r:number(t, "hdr.csb_id", 4)
    local count = r:number(t, "hdr.cs_count", 1)
    read_map(r, t, r:number(t, "hdr.map_type", 1), count)
    return r.message.name, next
end

local function read_message(r, t)
    read_chain(r, t, r:group(t, "hdr", "HDR", read_hdr), true)
end

local wiresharks_own = Dissector.get("mikey")

-- Behind what the protocols around the message have said.
local function append(column, separator, words)
    column:append((tostring(column) == "" and "" or separator) .. words)
end

-- A part of a SIP message may be in base64 (RFC 2045 6.8), which Wireshark leaves as it is. The
-- version of MIKEY makes its first letter an A.
local function from_base64(tvb)
    local text = tvb(0, 1):uint() == 0x41 and tvb:raw()
    if not text or not text:find("^[%w+/%s]+=*%s*$") then
        return nil
    end
    local octets = ByteArray.new((text:gsub("%s", "")), true):base64_decode()
    return octets:len() > 0 and octets:tvb("MIKEY message") or nil
end

function mikey.dissector(tvb, pinfo, tree)
    local len = tvb:captured_len()
    if len == 0 then
        return 0
    end
    local inner = from_base64(tvb)
    if inner then
        mikey.dissector(inner, pinfo, tree)
        return len
    end
    if len > 1 and tvb(1, 1):uint() == SAKKE_DATA_TYPE and wiresharks_own then
        pcall(wiresharks_own.call, wiresharks_own, tvb, pinfo, tree) -- shows its problems itself
        return len
    end
    local message = {tvb = tvb, fields = 0, cut = len < tvb:reported_len()}
    local item = tree:add(mikey, tvb(0, len))
    setmetatable({message = message, pos = 0, stop = len}, Reader):region(item, len, read_message)
    local words = (message.name or "no MIKEY header") ..
                      (message.error and ": " .. message.error or "") ..
                      (message.broken and " [malformed]" or "")
    item:append_text(", " .. words)
    if not tostring(pinfo.cols.protocol):find("MIKEY") then
        append(pinfo.cols.protocol, "/", "MIKEY")
    end
    append(pinfo.cols.info, ", ", "MIKEY " .. words)
    return len
end

for _, place in ipairs({{"media_type", "application/mikey"}, {"key_mgmt", "mikey"}}) do
    DissectorTable.get(place[1]):add(place[2], mikey)
end

-- Wireshark hands over what SDP has at session level. At an m line it shows the text alone, so
-- that is looked for in packets that are dissected already.
local at_m_line = Proto("mikey_ticket_sdp", "MIKEY-TICKET at SDP's m lines")
local media_attributes = Field.new("sdp.media_attr")

function at_m_line.dissector(_, pinfo, tree)
    for _, attribute in ipairs({media_attributes()}) do
        local base64 = attribute.value:match("^key%-mgmt:%s*mikey%s+(%S+)")
        local message = base64 and ByteArray.new(base64, true):base64_decode()
        if message and message:len() > 0 then
            mikey.dissector(message:tvb("Key Management Data"), pinfo, tree)
        end
    end
end

register_postdissector(at_m_line)
