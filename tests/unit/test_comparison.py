"""In what two addresses differ: conflicts of divisions and numbers, by families that look real."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.answers import PART_KINDS
from service.comparison.compare import compare, default_place

# Two addresses, and in what they contradict each other.
CONFLICTS = [
    # another city, or another province
    ("杭州市西湖区文三路478号", "宁波市鄞州区文三路478号", ["city"]),
    ("浙江省杭州市文三路", "浙江省宁波市文三路", ["city"]),
    ("杭州市文三路478号", "南京市文三路478号", ["province"]),
    ("北京市朝阳区建国路88号", "上海市浦东新区建国路88号", ["province"]),
    ("天津市和平区南京路1号", "沈阳市和平区南京路1号", ["province"]),
    ("重庆市渝中区解放碑", "四川省成都市锦江区解放碑", ["province"]),
    ("河北省廊坊市三河市燕郊镇", "北京市通州区燕郊镇", ["province"]),
    ("苏州工业园区星湖街1号", "无锡市星湖街1号", []),  # 苏州 might be a part of a name here
    ("苏州市星湖街1号", "无锡市星湖街1号", ["city"]),
    # another district of one city
    ("杭州市西湖区文三路478号", "杭州市滨江区文三路478号", ["district"]),
    ("西湖区文三路478号", "杭州市滨江区文三路478号", ["district"]),
    ("上海市徐汇区漕溪路1号", "上海市闵行区漕溪路1号", ["district"]),
    ("重庆市江北区建新路1号", "重庆市渝北区建新路1号", ["district"]),
    ("苏州市昆山市人民路1号", "苏州市太仓市人民路1号", ["district"]),
    ("广东省广州市天河区体育西路", "广州天河区体育西路", []),
    # one text does not say
    ("杭州市西湖区文三路478号", "文三路478号", []),
    ("杭州市西湖区文三路478号", "西湖区文三路478号", []),
    ("浙江省文三路478号", "杭州市西湖区文三路478号", []),
    ("", "杭州市西湖区文三路478号", []),
    # a district that its name does not place
    ("朝阳区建国路88号", "北京市朝阳区建国路88号", []),
    ("朝阳区建国路88号", "长春市朝阳区建国路88号", []),
    ("朝阳区建国路88号", "吉林省长春市建国路88号", []),
    ("朝阳区建国路88号", "辽宁省朝阳市建国路88号", ["province"]),
    ("朝阳区建国路88号", "杭州市建国路88号", ["province"]),
    ("北京市朝阳区建国路88号", "长春市朝阳区建国路88号", ["province"]),
    ("鼓楼区中山北路1号", "南京市鼓楼区中山北路1号", []),
    ("南京市鼓楼区中山北路1号", "徐州市鼓楼区中山北路1号", ["city"]),
    ("南京市鼓楼区中山北路1号", "福州市鼓楼区中山北路1号", ["province"]),
    ("西湖区文三路", "南昌市西湖区文三路", []),
    ("西湖区文三路", "宁波市文三路", ["city"]),
    # Jilin the city is in Jilin the province
    ("吉林省吉林市昌邑区解放大路1号", "吉林市昌邑区解放大路1号", []),
    ("吉林省吉林市解放大路1号", "吉林省长春市解放大路1号", ["city"]),
    ("吉林省解放大路1号", "吉林市解放大路1号", []),
    ("吉林 长春市解放大路1号", "吉林 吉林市解放大路1号", ["city"]),
    # as people write it
    ("杭州市西湖区文三路478号", "杭州西湖区文三路478号", []),
    ("浙江杭州文三路478号", "杭州市文三路478号", []),
    ("杭州文三路478号", "宁波文三路478号", ["city"]),
    ("内蒙古呼和浩特市新城区", "内蒙古自治区包头市昆都仑区", ["city"]),
    ("广西南宁市青秀区民族大道", "广西壮族自治区南宁市青秀区民族大道", []),
    ("广西省南宁市民族大道", "广西桂林市民族大道", ["city"]),
    ("新疆乌鲁木齐市天山区", "新疆维吾尔自治区乌鲁木齐市沙依巴克区", ["district"]),
    ("延边州延吉市光明街1号", "延边朝鲜族自治州延吉市光明街1号", []),
    ("辽宁朝阳双塔区", "辽宁省朝阳市双塔区", []),
    ("杭州市杭州市西湖区文三路", "西湖区文三路", []),
    ("中国浙江省杭州市文三路", "杭州市文三路", []),
    ("收货地址：浙江省杭州市文三路", "宁波市文三路", ["city"]),
    ("浙江省，杭州市，西湖区，文三路", "浙江省 杭州市 滨江区 文三路", ["district"]),
    ("北京市市辖区海淀区中关村大街", "北京市海淀区中关村大街", []),
    ("辽宁朝阳双塔街1号", "长春市朝阳区双塔街1号", ["province"]),
    # not divisions, though they look like some
    ("辽宁朝阳东路1号", "辽宁省沈阳市朝阳东路1号", []),
    ("上海南京东路100号", "上海市黄浦区南京东路100号", []),
    ("南京东路100号", "上海市黄浦区南京东路100号", []),
    ("南京西路", "杭州市南京西路", []),
    ("兰州拉面文三路店", "杭州市西湖区文三路", []),
    ("沙县小吃", "杭州市西湖区文三路", []),
    ("重庆小面(文三路店)", "杭州市西湖区文三路", []),
    ("武汉大学", "杭州市西湖区文三路", []),
    ("中国银行", "杭州市西湖区文三路", []),
    ("上海银行杭州分行", "杭州市西湖区文三路", []),
    ("中山八路41号", "广州市荔湾区中山八路41号", []),
    ("中山门大街99号", "南京市玄武区中山门大街99号", []),
    ("朝阳酒仙桥路6号", "北京市朝阳区酒仙桥路6号", []),
    ("井冈山大道2号", "南昌市井冈山大道2号", []),
    ("永安村3号", "杭州市永安村3号", []),
    ("东区3栋", "杭州市花园东区3栋", []),
    # municipalities, and counties that are directly under a province
    ("上海上海市浦东新区世纪大道", "上海市浦东新区世纪大道", []),
    ("湖北省仙桃市沔阳大道1号", "湖北省武汉市沔阳大道1号", ["city"]),
    ("湖北省仙桃市沔阳大道1号", "仙桃市沔阳大道1号", []),
    ("海南省儋州市三家村", "海南省东方市三家村", ["city"]),
    ("河南省济源市文昌路", "河南省焦作市文昌路", []),  # 济源 was a county of it
    ("新疆石河子市北三路", "新疆乌鲁木齐市北三路", ["city"]),
    # Hong Kong, Macau, Taiwan
    ("香港特别行政区中西区皇后大道", "香港九龙城区皇后大道", ["district"]),
    ("香港湾仔区轩尼诗道1号", "澳门花地玛堂区轩尼诗道1号", ["province"]),
    ("台湾省台北市中正路1号", "台湾省高雄市中正路1号", ["city"]),
    ("臺北市中正路1號", "台北市中正路1号", []),
    ("臺北市中正路1號", "台中市中正路1号", ["city"]),
    ("深圳市罗湖区人民南路", "香港湾仔区人民南路", ["province"]),
    # what became another division, and what is gone
    ("杭州市余杭县临平镇", "杭州市余杭区临平镇", []),
    ("余杭市临平镇", "杭州市余杭区临平镇", []),
    ("鄞县中河街道", "宁波市鄞州区中河街道", []),
    ("襄樊市樊城区长征路", "襄阳市樊城区长征路", []),
    ("北京市宣武区广安门内大街1号", "北京市西城区广安门内大街1号", []),
    ("杭州市江干区凤起东路1号", "杭州市上城区凤起东路1号", []),
    ("杭州市江干区凤起东路1号", "宁波市鄞州区凤起东路1号", ["city"]),
    ("上海市卢湾区淮海中路1号", "上海市黄浦区淮海中路1号", []),
    ("山东省莱芜市莱城区", "山东省济南市莱芜区", []),
    ("四川省内江市简阳县", "四川省成都市简阳市", []),
    ("大同市大同县", "大同市云州区", []),
    ("石家庄市桥东区中山东路1号", "石家庄市长安区中山东路1号", []),
    ("石家庄市桥东区中山东路1号", "张家口市桥东区中山东路1号", ["city"]),
    ("牡丹江市郊区沿江乡", "牡丹江市爱民区沿江乡", []),
    ("江门市城区堤东路1号", "江门市蓬江区堤东路1号", []),
    # one text contradicts itself
    ("江苏省南京市江都市吴桥镇", "扬州市江都区吴桥镇", []),
    ("合肥市黑龙江省哈尔滨市五常市山河镇", "五常市山河镇", []),
    # house numbers
    ("文三路88号", "文三路188号", ["number"]),
    ("文三路88号", "文三路88号", []),
    ("文三路88号", "文三路", []),
    ("文三路", "文三路", []),
    ("文三路88", "文三路89号", ["number"]),
    ("文三路88", "文三路88号", []),
    ("文三路８８号", "文三路88号", []),
    ("文三路８８号", "文三路８９号", ["number"]),
    ("文三路八十八号", "文三路88号", []),
    ("文三路八十八号", "文三路八十九号", ["number"]),
    ("江南大道一千零八十八号", "江南大道1088号", []),
    ("二〇一号", "201号", []),
    ("文三路⑧号", "文三路8号", []),
    ("文三路088号", "文三路88号", []),
    ("文三路12-3号", "文三路12号", []),
    ("文三路12-3号", "文三路12-5号", ["number"]),
    ("文三路12-3号", "文三路13号", ["number"]),
    ("文三路12号附3号", "文三路12号之三", []),
    ("文三路12号附3号", "文三路12号附5号", ["number"]),
    ("文三路12A号", "文三路12B号", ["number"]),
    ("文三路12A号", "文三路12号", []),
    ("文三路甲3号", "文三路3号", ["number"]),
    ("文三路甲3号", "文三路甲3号", []),
    ("文三路甲3号", "文三路乙3号", ["number"]),
    ("文三路3甲号", "文三路甲3号", []),
    ("文三路3号甲", "文三路甲3号", []),
    ("文三路3号丙华星小区", "文三路丙3号华星小区", []),
    ("文三路3号乙", "文三路3号", []),
    ("文三路3号乙", "文三路甲3号", ["number"]),
    ("文三路3号乙", "文三路乙4号", ["number"]),
    ("文三路3号甲座", "文三路3号乙座", ["building"]),
    ("文三路3号丁香花园", "文三路3号", []),
    # a number at the end is that of a room
    ("文三路478号3栋2单元501号", "文三路478号3栋2单元501室", []),
    ("文三路478号3栋2单元501号", "文三路478号3栋2单元502室", ["room"]),
    ("文三路478号3栋1204号", "文三路478号", []),
    ("文三路478弄3栋2单元501号", "文三路478号", []),
    ("文三路478号12楼1204号", "文三路479号12楼1204室", ["number"]),
    ("华星小区3栋12号", "华星小区3栋", []),
    ("华星小区3栋十二号", "华星小区3栋13室", ["room"]),
    ("文三路88-92号", "文三路90号", []),
    ("文三路88-92号", "文三路94号", ["number"]),
    ("文三路88、90号", "文三路90号", []),
    ("文三路88、90号", "文三路92号", ["number"]),
    ("地铁2号线", "地铁3号线", []),
    ("2号门", "3号门", []),
    ("1号路5号", "2号路5号", []),
    ("电话13812345678号", "文三路88号", []),
    ("愚园路744弄27号", "愚园路1249弄27号", ["lane"]),
    ("愚园路七四四弄27号", "愚园路744弄27号", []),
    ("永泰路468弄13号", "永泰路468弄13号楼", []),
    ("彩虹苑11号4幢", "彩虹苑11幢", []),
    # within the house
    ("3栋2单元501", "3栋2单元502", ["room"]),
    ("3栋2单元501", "3栋1单元501", ["unit"]),
    ("3栋2单元501", "5栋2单元501", ["building"]),
    ("3栋2单元501", "5栋1单元502", ["building", "unit", "room"]),
    ("三号楼二单元501室", "3栋2单元501", []),
    ("3-2-501", "3幢2单元501室", []),
    ("3-2-501", "3幢2单元502室", ["room"]),
    ("5栋1-301", "5栋1单元301室", []),
    ("3楼2单元", "3号楼2单元", []),
    ("A座1203", "B座1203", ["building"]),
    ("A座1203", "1号楼1203", []),  # two names of one building, perhaps
    ("a座1203室", "A座1203", []),
    ("国贸大厦12层", "国贸大厦十二楼", []),
    ("国贸大厦12层", "国贸大厦13F", ["floor"]),
    ("国贸大厦B1层", "国贸大厦1层", []),
    # lists and ranges
    ("学府路21~25号", "学府路23号", []),
    ("学府路21号至25号", "学府路23号", []),
    ("学府路21号至25号", "学府路27号", ["number"]),
    ("学府路21号-25号", "学府路24号", []),
    ("学府路21附2号", "学府路21号附2", []),
    ("学府路21附2号", "学府路21附3号", ["number"]),
    ("学府路21号附2-4号", "学府路21号附3号", []),
    ("学府路21号附2号、附3号", "学府路21号附3号", []),
    ("长寿路12、14弄3号", "长寿路14弄3号", []),
    ("长寿路12-16弄3号", "长寿路14弄3号", []),
    ("长寿路12弄3支弄5号", "长寿路12弄4支弄5号", ["lane"]),
    ("金水苑5、6号楼", "金水苑5幢", []),
    ("金水苑5、6号楼", "金水苑7幢", ["building"]),
    ("金水苑5栋至8栋", "金水苑6栋", []),
    ("软件园A1-A3栋", "软件园A2栋", []),
    ("金水苑5栋1、2单元", "金水苑5栋1单元", []),
    ("金水苑5栋1、2单元", "金水苑5栋3单元", ["unit"]),
    ("银泰大厦2至4层", "银泰大厦三楼", []),
    ("银泰大厦2、3层", "银泰大厦2楼", []),
    ("银泰大厦2-4层", "银泰大厦3-5层", []),
    ("银泰大厦2-4层", "银泰大厦5-6层", ["floor"]),
    ("银泰大厦2F-4F", "银泰大厦3F", []),
    ("银泰大厦B1-B3层", "银泰大厦B2层", []),
    ("银泰大厦801-805室", "银泰大厦803室", []),
    ("银泰大厦801室至805室", "银泰大厦803室", []),
    ("银泰大厦801、802室", "银泰大厦801室", []),
    ("银泰大厦801/802室", "银泰大厦803室", ["room"]),
    ("银泰大厦B座801,802", "银泰大厦B座802", []),
    ("银泰大厦801-2室", "银泰大厦801室", []),
    ("银泰大厦801-2室", "银泰大厦801-3室", ["room"]),
    # a list with a word behind each number
    ("银泰大厦801室、805室", "银泰大厦801室", []),
    ("银泰大厦801室、805室", "银泰大厦803室", ["room"]),
    ("金水苑5栋、8栋", "金水苑5幢", []),
    ("金水苑5栋、8栋", "金水苑6幢", ["building"]),
    ("金水苑5栋至8栋", "金水苑6-10栋", []),
    ("金水苑5栋至8栋", "金水苑10-12栋", ["building"]),
    ("银泰大厦2层、3层", "银泰大厦2楼", []),
    ("银泰大厦2F-4F", "银泰大厦5-6层", ["floor"]),
    # a number of a flat, with its floor or without
    ("学府路5号锦绣苑6栋702", "锦绣苑6栋7楼2号", []),
    ("锦绣苑6栋7楼2号", "锦绣苑6栋7楼3号", ["room"]),
    ("锦绣苑6栋7楼2号", "锦绣苑6栋702", []),
    ("鼓楼123号", "鼓楼125号", ["number"]),
    ("锦绣苑6#701", "锦绣苑6#702", ["room"]),
    ("锦绣苑6#3-701", "锦绣苑6栋2单元701", ["unit"]),
    ("锦绣苑6栋-701", "锦绣苑6栋702", ["room"]),
    ("学府路5号-701室", "学府路5号702室", ["room"]),
    ("学府路5号-6栋", "学府路5号-7栋", ["building"]),
    ("武夷路50弄3号701", "武夷路50弄3号702", ["room"]),
    ("武夷路50号1933老场坊", "武夷路50号502室", []),
    ("锦绣苑6-701", "锦绣苑6栋702室", ["room"]),
    ("锦绣苑6-701", "锦绣苑7栋701室", ["building"]),
    ("锦绣苑6-701", "锦绣苑2栋6单元701", []),
    ("学府路1088-701室", "学府路1088号702室", ["room"]),
    ("锦绣苑6栋3-15层", "锦绣苑6栋5单元", []),
    ("花家地9楼3门501", "花家地9号楼3门502", ["room"]),
    ("花家地9号楼3门501", "花家地9-2-501", ["unit"]),
    ("花家地9楼5层502", "花家地9号楼5层502", []),
    ("花家地9楼", "花家地9号楼3层", []),
    ("锦绣苑9栋9楼", "锦绣苑9栋5楼", ["floor"]),
    # two names of one building, and of another
    ("锦绣苑6号楼甲座", "锦绣苑6号楼乙座", ["building"]),
    ("锦绣苑6号楼C座", "锦绣苑7号楼C座", ["building"]),
    ("锦绣苑6号楼C座", "锦绣苑C座", []),
    ("学府路7号锦绣苑7栋", "学府路7号锦绣苑8栋", ["building"]),
    ("学府路7号锦绣苑8号", "学府路7号锦绣苑8栋", []),
    ("学府路5号院乙6号楼", "学府路5号院乙7号楼", ["building"]),
    ("锦绣苑乙6号楼", "学府路5号锦绣苑", []),
    ("学府路5#2栋", "学府路5号2栋", []),
    ("学府路5#", "学府路7号", ["number"]),
    # beside a house, and a house of an estate
    ("学府路21号旁", "学府路23号", []),
    ("学府路21号大院斜对面", "学府路23号", []),
    ("学府路21号门面", "学府路23号门面", ["number"]),
    ("学府路廿一号", "学府路21号", []),
    ("3号大街21号", "3号大街23号", ["number"]),
    ("江南大学3号教学楼", "学府路21号江南大学", []),
    ("江南大学3号教学楼", "江南大学4号教学楼", ["number"]),
    ("学府路21号锦绣苑8号", "锦绣苑9号", ["number"]),
    # a number and its word with a space between
    ("学府路 5 号 6 栋 701 室", "学府路5号6栋702室", ["room"]),
    ("锦绣苑 6 栋 3 单元 701", "锦绣苑6栋2单元701", ["unit"]),
    ("锦绣苑6 - 3 - 701", "锦绣苑6-3-702", ["room"]),
    ("锦绣苑6栋 0510-8234567", "锦绣苑6栋501", []),
    # several at once
    ("杭州市西湖区文三路88号3栋", "宁波市文三路188号5栋", ["city", "number", "building"]),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "expected"), CONFLICTS)
def test_what_contradicts_itself_is_named(first: str, second: str, expected: list[str]) -> None:
    assert list(compare(first, second).conflicts) == expected
    assert list(compare(second, first).conflicts) == expected


DIFFERENCES = [
    ("杭州市西湖区文三路478号", "杭州西湖区文三路478号", []),
    ("杭州市文三路478号", "宁波市文三路478号", [("city", "杭州市", "宁波市")]),
    ("西湖区文三路", "宁波市文三路", [("city", "西湖区", "宁波市"), ("district", "西湖区", None)]),
    ("文三路88号", "文三路１８８号", [("number", "88号", "188号")]),
    ("文三路88号3栋", "文三路88号", [("building", "3栋", None)]),
    ("翠苑街道文三路", "文新街道文三路", [("town", "翠苑街道", "文新街道")]),
    ("转塘街道文三路", "转塘镇文三路", []),
    ("文三路", "文二路", [("road", "文三路", "文二路")]),
    ("文三路与学院路交叉口", "学院路与文三路交叉口", []),
    ("3栋2单元501", "3栋502", [("unit", "2单元", None), ("room", "501", "502")]),
    ("余杭县临平镇", "余杭区临平镇", []),
    ("臺北市中正路1號", "台北市中正路2号", [("number", "1号", "2号")]),
    ("文三路华星时代广场", "文三路 颐高广场", [("name", "华星时代广场", "颐高广场")]),
    ("文三路（华星）", "文三路华星", []),
    ("3栋十二号", "3栋12室", []),
    ("银泰大厦801室至805室", "银泰大厦801-805室", []),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "expected"), DIFFERENCES)
def test_parts_that_differ_stand_beside_each_other(
    first: str, second: str, expected: list[tuple[str, str | None, str | None]]
) -> None:
    assert list(compare(first, second).differences) == expected


DEFAULTS = [
    (None, "杭州市", "文三路88号", "宁波市文三路88号", ["city"]),
    (None, "杭州", "文三路88号", "杭州市西湖区文三路88号", []),
    (None, "北京", "朝阳区建国路", "长春市朝阳区建国路", ["province"]),
    (None, "北京", "朝阳区建国路", "北京市朝阳区建国路", []),
    (None, "北京", "长春市朝阳区建国路", "吉林省长春市建国路", []),  # both say where they are
    ("浙江省", None, "西湖区文三路", "江西省南昌市西湖区文三路", ["province"]),
    ("浙江", "杭州", "浙江省文三路", "浙江省宁波市文三路", ["city"]),
    ("湖北", "仙桃", "沔阳大道1号", "湖北省武汉市沔阳大道1号", ["city"]),
    ("臺灣", "臺北", "中正路1号", "高雄市中正路1号", ["city"]),
]


@pytest.mark.parametrize(("province", "city", "first", "second", "expected"), DEFAULTS)
def test_a_default_counts_where_a_text_does_not_say(
    province: str | None, city: str | None, first: str, second: str, expected: list[str]
) -> None:
    default = default_place(province, city)
    assert list(compare(first, second, default).conflicts) == expected
    assert list(compare(second, first, default).conflicts) == expected


@pytest.mark.parametrize(
    ("province", "city"),
    [
        ("火星", None),
        (None, "火星"),
        ("杭州", None),
        (None, "西湖区"),
        ("浙江", "南京"),
        ("", None),
    ],
)
def test_a_default_that_is_none_is_refused(province: str | None, city: str | None) -> None:
    with pytest.raises(ValueError, match=r"^(province|city) is "):
        default_place(province, city)


_WORDS = """
    浙江省 杭州市 杭州 宁波 西湖区 朝阳区 北京 吉林 吉林市 中国 沙县 文三路 南京东路 街道 转塘镇
    88号 188号 12-3号 甲 附3号 十二 〇 千 3栋 三 A座 2单元 501 - 、 之 号 楼 弄 F # （ 店 九 万 0
    路 大道 ② 臺 號 花园
"""
PIECES = [*_WORDS.split(), " ", "\u3000"]
ADDRESSES = st.one_of(
    st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
)
PLACES = st.sampled_from([(), default_place("浙江", "杭州"), default_place(None, "北京")])


@given(ADDRESSES, ADDRESSES, PLACES)
def test_any_two_texts_can_be_compared_in_either_order(first: str, second: str, default) -> None:  # type: ignore[no-untyped-def]
    found, swapped = compare(first, second, default), compare(second, first, default)
    assert found.conflicts == swapped.conflicts
    assert [(kind, two, one) for kind, one, two in found.differences] == list(swapped.differences)
    kinds = [difference.kind for difference in found.differences]
    assert kinds == sorted(set(kinds), key=PART_KINDS.index)
    assert list(found.conflicts) == sorted(set(found.conflicts), key=PART_KINDS.index)
    # A conflict is a difference too, of which both texts say something, or a default for one.
    assert set(found.conflicts) <= set(kinds)


@given(ADDRESSES, PLACES)
@example("文三路88号", ())
def test_equal_texts_differ_in_nothing(text: str, default) -> None:  # type: ignore[no-untyped-def]
    found = compare(text, text, default)
    assert (found.conflicts, found.differences) == ((), ())


@given(ADDRESSES)
def test_a_conflict_needs_two_that_say_something(text: str) -> None:
    assert compare(text, "").conflicts == ()


@pytest.mark.parametrize(
    "piece", [*PIECES, "北京朝阳", "12-", "a路", "一二", "杭州杭州市", "1号楼"]
)
def test_the_longest_text_is_read_in_as_many_steps_as_it_has_characters(piece: str) -> None:
    """A backtracking reader would take seconds of its 512 characters, and minutes of twice them."""
    text = (piece * 512)[:512]
    compare(text, text[::-1] * 4)
    compare("".join(f"{number}{piece}" for number in range(400)), text)
